/* What the two files of bfloat16 convolutions share. Products of pairs are summed in float32: by one instruction on a
   processor with AVX512-bf16, by two float32 products elsewhere.

   A word holds a pair: two neighbouring input channels if the sum is over channels, the same pixel of two images if it is
   over the batch. Images and gradients are copied with their padding into scratch memory, so that no bounds are checked. */

#include "vectors.h"
#include <string.h>

#define PARTS 8 /* of a batch in the gradient by the weights; a constant, so that the order of summation does not depend on the threads */

/* Round up to whole vectors. */
INLINE int whole(int channels) { return (channels + LANES - 1) / LANES * LANES; }

INLINE size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

/* Add the two products of `pair` and each lane's pair to each lane's sum. */
INLINE vec dot(vec sum, words pairs, uint32_t pair) {
#ifdef __AVX512BF16__
    return (vec)_mm512_dpbf16_ps((__m512)sum, (__m512bh)pairs, (__m512bh)_mm512_set1_epi32(pair));
#else
    union {
        uint32_t bits;
        float number;
    } low = {pair << 16}, high = {pair & 0xffff0000};
    return sum + (vec)(pairs << 16) * low.number + (vec)(pairs & 0xffff0000) * high.number;
#endif
}

INLINE words load_words(const uint32_t *p) { return *(const words_anywhere *)p; }

/* A layer: images (n, h, w, c), outputs (n, oh, ow, k), weights (k, side, side, c). */
typedef struct {
    int n, h, w, c, oh, ow, k, side, stride, padding;
} layer;

/* The padding above and to the left of a gradient for the gradient by the input, and the padded height or width. */
INLINE int back_padding(layer l) { return (l.side - 1 - l.padding + l.stride - 1) / l.stride; }
INLINE int back_size(layer l, int size) { return back_padding(l) + (size - 1 + l.padding) / l.stride + 1; }

/* Size of a pair of padded images and of their gradients, in words. */
INLINE size_t pair_of_images(layer l) {
    return (size_t)(l.h + 2 * l.padding) * (l.w + 2 * l.padding) * l.c + (size_t)l.oh * l.ow * whole(l.k);
}
/* How many pairs of images are processed at once: many, so that sums stay in registers, but not more than a core's second
   cache holds. */
INLINE int together(layer l) {
    size_t many = (1 << 16) / pair_of_images(l), at_most = (l.n + 2 * PARTS - 1) / (2 * PARTS);
    return many < 1 ? 1 : smaller(many, at_most);
}
