/* What convolutions in bfloat16 share. They are computed as they are written, with sums in float32: products of pairs, of
   which a processor with instructions for bfloat16 adds up two at a time, and another one takes them apart.

   A word holds a pair: of neighbouring input channels, where sums are over these, or of two images, where they are over
   the batch. Images and gradients are copied with their padding into scratch memory, so that no tap asks where it is. */

#include "vectors.h"
#include <string.h>

#define PARTS 8 /* of a batch in a gradient by weights; always as many, so that the sums do not depend on the threads */

INLINE int whole(int channels) { return (channels + LANES - 1) / LANES * LANES; }

INLINE size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

/* In every lane the sum and the two products of a pair, `pair` being the same in all. */
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

/* How far a gradient is padded above and to the left, to be convolved back, and its height or width with that. */
INLINE int back_padding(layer l) { return (l.side - 1 - l.padding + l.stride - 1) / l.stride; }
INLINE int back_size(layer l, int size) { return back_padding(l) + (size - 1 + l.padding) / l.stride + 1; }

/* Of a pair of images, and of their gradients, in the sum of the weights' gradient: words. */
INLINE size_t pair_of_images(layer l) {
    return (size_t)(l.h + 2 * l.padding) * (l.w + 2 * l.padding) * l.c + (size_t)l.oh * l.ow * whole(l.k);
}
/* Pairs of images at once: sums stay in registers for longer, as long as the images stay in a core's second cache. */
INLINE int together(layer l) {
    size_t many = (1 << 16) / pair_of_images(l), at_most = (l.n + 2 * PARTS - 1) / (2 * PARTS);
    return many < 1 ? 1 : smaller(many, at_most);
}
