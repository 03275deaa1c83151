/* Convolutions in bfloat16 as they are written, with sums in float32: products of pairs, of which a processor with
   instructions for bfloat16 adds up two at a time, and another one takes them apart.

   A word holds a pair: of neighbouring input channels, where sums are over these, or of two images, where they are over
   the batch. Images and gradients are copied with their padding into scratch memory, so that no tap asks where it is. */

#include "vectors.h"
#include <string.h>

#define PARTS 8 /* of a batch in a gradient by weights; always as many, so that the sums do not depend on the threads */
#define PIXELS (LANES == 16 ? 14 : 6) /* whose sums, of one or two vectors of channels, stay in registers */
#define INPUTS (LANES == 16 ? 8 : 4)  /* likewise, with two vectors of outputs; twice as many with one */
#define MOST_TAPS 121                 /* 11×11 */

static int whole(int channels) { return (channels + LANES - 1) / LANES * LANES; }

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

/* Whether they are faster than what PyTorch has: where that has units for whole matrices, nobody has measured it. */
int direct_pays(void) {
#if defined __x86_64__ && !defined __AMX_BF16__
    return 1;
#else
    return 0;
#endif
}

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

static uint32_t rounded(float x) {
    union {
        float number;
        uint32_t bits;
    } u = {x};
    return x != x ? 0x7fc0 : (u.bits + 0x7fff + ((u.bits >> 16) & 1)) >> 16;
}

/* The convolution of a line: how far from a pixel its taps are, in words, their weights (taps, pairs, columns), and the
   steps from pixel to pixel, of the padded images in words, of the outputs in numbers. */
typedef struct {
    int taps, pairs, columns, channels; /* columns: of outputs' channels whole vectors */
    size_t offset[MOST_TAPS], step, out_step;
    const uint32_t *weights;
    const float *bias; /* NULL: zeros */
} filter;

/* So many pixels beside each other, in so many vectors of channels from `column` on. */
INLINE void pixels_of(const int pixels, const int vectors, const filter *f, const uint32_t *x, int column,
                      uint16_t *y) {
    vec sum[PIXELS][2];
    size_t one = f->step, two = 2 * one, three = 3 * one; /* few numbers make all addresses */
    for (int j = 0; j < vectors; j++) {
        vec start = f->bias ? load(f->bias + column + j * LANES) : (vec){0};
        for (int i = 0; i < pixels; i++) sum[i][j] = start;
    }
    const uint32_t *w = f->weights + column;
    for (int tap = 0; tap < f->taps; tap++) {
        const uint32_t *first = x + f->offset[tap];
        for (int pair = 0; pair < f->pairs; pair++, w += f->columns, first++) {
            words right[2];
            for (int j = 0; j < vectors; j++) right[j] = load_words(w + j * LANES);
            const uint32_t *from = first;
#pragma GCC unroll 14
            for (int i = 0; i < pixels; i++) {
                uint32_t left = from[i % 4 == 0 ? 0 : i % 4 == 1 ? one : i % 4 == 2 ? two : three];
                for (int j = 0; j < vectors; j++) sum[i][j] = dot(sum[i][j], right[j], left);
                if (i % 4 == 3) from += 4 * one;
            }
        }
    }
    for (int i = 0; i < pixels; i++)
        for (int j = 0; j < vectors; j++)
            store_some(y + i * f->out_step + column + j * LANES, sum[i][j], f->channels - column - j * LANES);
}

static void some_pixels(int pixels, int vectors, const filter *f, const uint32_t *x, int column, uint16_t *y) {
#define CASE(n)                                                                                                        \
    case n:                                                                                                            \
        if (vectors == 2)                                                                                              \
            pixels_of(n, 2, f, x, column, y);                                                                          \
        else                                                                                                           \
            pixels_of(n, 1, f, x, column, y);                                                                          \
        break;
    switch (pixels) {
        CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6)
#if LANES == 16
        CASE(7) CASE(8) CASE(9) CASE(10) CASE(11) CASE(12) CASE(13) CASE(14)
#endif
    }
}

/* A line of so many pixels. */
static void line_of(const filter *f, const uint32_t *x, int width, uint16_t *y) {
    int blocks = (width + PIXELS - 1) / PIXELS;
    for (int column = 0; column < f->columns; column += 2 * LANES)
        for (int block = 0; block < blocks; block++) {
            int from = (int64_t)width * block / blocks, to = (int64_t)width * (block + 1) / blocks;
            some_pixels(to - from, column + LANES < f->columns ? 2 : 1, f, x + from * f->step, column,
                        y + from * f->out_step);
        }
}

/* Weights (k, taps, c) → pairs of neighbouring inputs, rounded, (so many of the taps, pairs, outputs). The inputs are c and
   the outputs k, or, `back`, the other way about. */
static void pack_weights(const float *weights, int k, int taps, int c, int back, const int *taken, int many,
                         uint32_t *to) {
    int inputs = back ? k : c, outputs = back ? c : k, columns = whole(outputs), pairs = (inputs + 1) / 2;
    size_t by_input = back ? (size_t)taps * c : 1, by_output = back ? 1 : (size_t)taps * c;
    for (int t = 0; t < many; t++)
        for (int pair = 0; pair < pairs; pair++) {
            const float *w = weights + (size_t)taken[t] * c + 2 * pair * by_input;
            uint32_t *row = to + ((size_t)t * pairs + pair) * columns;
            int odd = 2 * pair + 1 == inputs;
            for (int o = 0; o < columns; o++)
                row[o] = o >= outputs ? 0
                                      : rounded(w[o * by_output]) | (odd ? 0 : rounded(w[o * by_output + by_input]) << 16);
        }
}

/* An image (h, w, c) in pairs of channels, with so much zero above and to the left, and as much below and to the right as
   fills (height, width): itself or what is made of it in `to`. */
static const uint32_t *padded_image(const uint16_t *x, int h, int w, int c, int padding, int height, int width,
                                    uint32_t *to) {
    size_t pairs = (c + 1) / 2, line = width * pairs, left = padding * pairs;
    int across = width - padding < w ? width - padding : w;
    if (c % 2 == 0 && h == height && w == width) return (const uint32_t *)x;
    for (int i = 0; i < height; i++) {
        uint32_t *out = to + i * line, *inside = out + left;
        if (i < padding || i - padding >= h) {
            memset(out, 0, 4 * line);
            continue;
        }
        const uint16_t *from = x + (size_t)(i - padding) * w * c;
        memset(out, 0, 4 * left);
        memset(inside + across * pairs, 0, 4 * (line - left - across * pairs));
        if (c % 2 == 0)
            memcpy(inside, from, 4 * across * pairs);
        else
            for (int j = 0; j < across; j++, from += c) {
                memcpy(inside + j * pairs, from, 2 * (c - 1));
                inside[(j + 1) * pairs - 1] = from[c - 1];
            }
    }
    return to;
}

/* A layer: images (n, h, w, c), outputs (n, oh, ow, k), weights (k, side, side, c). */
typedef struct {
    int n, h, w, c, oh, ow, k, side, stride, padding;
} layer;

/* How far a gradient is padded above and to the left, to be convolved back, and its height or width with that. */
static int back_padding(layer l) { return (l.side - 1 - l.padding + l.stride - 1) / l.stride; }
static int back_size(layer l, int size) { return back_padding(l) + (size - 1 + l.padding) / l.stride + 1; }

/* Of a pair of images, and of their gradients, in the sum of the weights' gradient: words. */
static size_t pair_of_images(layer l) {
    return (size_t)(l.h + 2 * l.padding) * (l.w + 2 * l.padding) * l.c + (size_t)l.oh * l.ow * whole(l.k);
}
/* Pairs of images at once: sums stay in registers for longer, as long as the images stay in a core's second cache. */
static int together(layer l) {
    size_t many = (1 << 16) / pair_of_images(l), at_most = (l.n + 2 * PARTS - 1) / (2 * PARTS);
    return many < 1 ? 1 : smaller(many, at_most);
}

/* Bytes of scratch memory that any of the three below takes. */
size_t direct_scratch(int n, int h, int w, int c, int oh, int ow, int k, int side, int stride, int padding, int threads) {
    layer l = {n, h, w, c, oh, ow, k, side, stride, padding};
    size_t taps = side * side, forward = taps * ((c + 1) / 2) * whole(k), back = taps * ((k + 1) / 2) * whole(c);
    forward += (size_t)threads * (h + 2 * padding) * (w + 2 * padding) * ((c + 1) / 2);
    back += (size_t)threads * back_size(l, h) * back_size(l, w) * ((k + 1) / 2);
    size_t sums = PARTS * taps * c * whole(k) + threads * together(l) * pair_of_images(l);
    size_t most = forward > back ? forward : back;
    return 4 * (most > sums ? most : sums);
}

/* x (n, h, w, c) and weights → y (n, oh, ow, k). bias: (k,) in whole vectors, or NULL. */
void direct_forward(const uint16_t *x, const float *weights, const float *bias, uint16_t *y, int n, int h, int w, int c,
                    int oh, int ow, int k, int side, int stride, int padding, uint32_t *scratch, int threads) {
    int taps = side * side, pairs = (c + 1) / 2, height = h + 2 * padding, width = w + 2 * padding;
    filter f = {taps, pairs, whole(k), k, {0}, (size_t)stride * pairs, k, scratch, bias};
    uint32_t *padded = scratch + (size_t)taps * pairs * f.columns;
    for (int tap = 0; tap < taps; tap++) f.offset[tap] = ((size_t)(tap / side) * width + tap % side) * pairs;
#pragma omp parallel num_threads(threads)
    {
        uint32_t *mine = padded + (size_t)omp_get_thread_num() * height * width * pairs;
#pragma omp for schedule(static)
        for (int tap = 0; tap < taps; tap++)
            pack_weights(weights, k, taps, c, 0, &tap, 1, scratch + (size_t)tap * pairs * f.columns);
#pragma omp for schedule(static)
        for (int image = 0; image < n; image++) {
            const uint32_t *from = padded_image(x + (size_t)image * h * w * c, h, w, c, padding, height, width, mine);
            for (int row = 0; row < oh; row++)
                line_of(&f, from + (size_t)row * stride * width * pairs, ow, y + ((size_t)image * oh + row) * ow * k);
        }
    }
}

/* dy (n, oh, ow, k) and weights → dx (n, h, w, c). Pixels a stride apart meet the same taps. */
void direct_by_input(const uint16_t *dy, const float *weights, uint16_t *dx, int n, int h, int w, int c, int oh, int ow,
                     int k, int side, int stride, int padding, uint32_t *scratch, int threads) {
    layer l = {n, h, w, c, oh, ow, k, side, stride, padding};
    int pairs = (k + 1) / 2, height = back_size(l, h), width = back_size(l, w), used = 0;
    filter phases[stride * stride];
    for (int phase = 0; phase < stride * stride; phase++) {
        filter *f = phases + phase;
        uint32_t *packed = scratch + (size_t)used * pairs * whole(c);
        *f = (filter){0, pairs, whole(c), c, {0}, pairs, (size_t)stride * c, packed, NULL};
        int taken[MOST_TAPS], down = phase / stride + padding, across = phase % stride + padding;
        for (int tap = 0; tap < side * side; tap++) {
            int from = down - tap / side, left = across - tap % side;
            if (from % stride || left % stride) continue;
            taken[f->taps] = tap;
            f->offset[f->taps++] = ((size_t)(from / stride + back_padding(l)) * width + left / stride + back_padding(l)) * pairs;
        }
        pack_weights(weights, k, side * side, c, 1, taken, f->taps, packed);
        used += f->taps;
    }
    uint32_t *padded = scratch + (size_t)used * pairs * whole(c);
#pragma omp parallel num_threads(threads)
    {
        uint32_t *mine = padded + (size_t)omp_get_thread_num() * height * width * pairs;
#pragma omp for schedule(static)
        for (int image = 0; image < n; image++) {
            const uint16_t *one = dy + (size_t)image * oh * ow * k;
            const uint32_t *from = padded_image(one, oh, ow, k, back_padding(l), height, width, mine);
            for (int row = 0; row < h; row++)
                for (int phase = 0; phase < stride; phase++)
                    line_of(phases + row % stride * stride + phase, from + (size_t)(row / stride) * width * pairs,
                            (w - phase + stride - 1) / stride, dx + (((size_t)image * h + row) * w + phase) * c);
        }
    }
}

/* Two images (h, w, c) as one of pairs, with so much zero around and so many channels. */
static void pair_up(const uint16_t *x, const uint16_t *other, int h, int w, int c, int padding, int channels,
                    uint32_t *to) {
    size_t width = w + 2 * padding, line = width * channels;
    memset(to, 0, 4 * padding * line);
    memset(to + (h + padding) * line, 0, 4 * padding * line);
    to += padding * line;
    for (int i = 0; i < h; i++, to += line) {
        memset(to, 0, 4 * padding * channels);
        memset(to + (padding + w) * channels, 0, 4 * padding * channels);
        uint32_t *out = to + padding * channels;
        const uint16_t *a = x + (size_t)i * w * c, *b = other ? other + (size_t)i * w * c : NULL;
        if (c == channels && b)
            for (size_t j = 0; j < (size_t)w * c; j++) out[j] = a[j] | (uint32_t)b[j] << 16;
        else
            for (int column = 0; column < w; column++)
                for (int j = 0; j < channels; j++) {
                    size_t at = (size_t)column * c + j;
                    out[(size_t)column * channels + j] = j >= c ? 0 : a[at] | (b ? (uint32_t)b[at] << 16 : 0);
                }
    }
}

/* Adds to sums (inputs, columns), of so many inputs beside each other from x on, their products with the gradients, over all
   pixels of these. */
INLINE void sums_of(const int inputs, const int vectors, layer l, int images, const uint32_t *x, const uint32_t *dy,
                    size_t apart, float *sums) {
    int columns = whole(l.k), width = l.w + 2 * l.padding, step = l.stride * l.c;
    vec sum[2 * INPUTS][2];
    for (int i = 0; i < inputs; i++)
        for (int j = 0; j < vectors; j++) sum[i][j] = load(sums + (size_t)i * columns + j * LANES);
    for (int image = 0; image < images; image++)
        for (int row = 0; row < l.oh; row++) {
            const uint32_t *left = x + image * apart + (size_t)row * l.stride * width * l.c;
            const uint32_t *right = dy + image * apart + (size_t)row * l.ow * columns;
            for (int column = 0; column < l.ow; column++, left += step, right += columns) {
                words of_k[2];
                for (int j = 0; j < vectors; j++) of_k[j] = load_words(right + j * LANES);
#pragma GCC unroll 16
                for (int i = 0; i < inputs; i++)
                    for (int j = 0; j < vectors; j++) sum[i][j] = dot(sum[i][j], of_k[j], left[i]);
            }
        }
    for (int i = 0; i < inputs; i++)
        for (int j = 0; j < vectors; j++) store(sums + (size_t)i * columns + j * LANES, sum[i][j]);
}

/* Likewise of all inputs beside each other, taps and channels, and all outputs. */
static void all_sums(layer l, int images, const uint32_t *x, const uint32_t *dy, size_t apart, float *sums) {
    int columns = whole(l.k), beside = l.side * l.c;
    for (int top = 0; top < l.side; top++)
        for (int column = 0; column < columns; column += 2 * LANES)
            for (int i = 0, many; i < beside; i += many) {
                const uint32_t *from = x + (size_t)top * (l.w + 2 * l.padding) * l.c + i, *other = dy + column;
                float *to = sums + ((size_t)top * beside + i) * columns + column;
                int two = column + LANES < columns, left = beside - i;
#define SUMS(n)                                                                                                        \
    (many = (n), two ? sums_of((n) > INPUTS ? 1 /* never */ : (n), 2, l, images, from, other, apart, to)                           \
                     : sums_of(n, 1, l, images, from, other, apart, to))
                if (!two && left >= 2 * INPUTS)
                    SUMS(2 * INPUTS);
                else if (left >= INPUTS)
                    SUMS(INPUTS);
                else if (left >= INPUTS / 2)
                    SUMS(INPUTS / 2);
                else if (left >= 2)
                    SUMS(2);
                else
                    SUMS(1);
            }
}

/* x (n, h, w, c) and dy (n, oh, ow, k) → the gradient (k, side, side, c) by the weights. */
void direct_by_weights(const uint16_t *x, const uint16_t *dy, float *gradient, int n, int h, int w, int c, int oh, int ow,
                       int k, int side, int stride, int padding, float *scratch, int threads) {
    layer l = {n, h, w, c, oh, ow, k, side, stride, padding};
    int columns = whole(k), taps = side * side, at_once = together(l), pairs = (n + 1) / 2;
    size_t sums = (size_t)taps * c * columns, apart = pair_of_images(l), of_x = apart - (size_t)oh * ow * columns;
    uint32_t *paired = (uint32_t *)(scratch + PARTS * sums);
#pragma omp parallel num_threads(threads)
    {
        uint32_t *mine = paired + omp_get_thread_num() * at_once * apart;
#pragma omp for schedule(static)
        for (int part = 0; part < PARTS; part++) {
            int to = pairs * (part + 1) / PARTS;
            memset(scratch + part * sums, 0, sizeof(float) * sums);
            for (int first = pairs * part / PARTS; first < to; first += at_once) {
                int here = to - first < at_once ? to - first : at_once;
                for (int i = 0; i < here; i++) {
                    size_t image = 2 * (first + i), one = (size_t)h * w * c, other = (size_t)oh * ow * k;
                    int both = image + 1 < (size_t)n;
                    pair_up(x + image * one, both ? x + (image + 1) * one : NULL, h, w, c, padding, c, mine + i * apart);
                    pair_up(dy + image * other, both ? dy + (image + 1) * other : NULL, oh, ow, k, 0, columns,
                            mine + i * apart + of_x);
                }
                all_sums(l, here, mine, mine + of_x, apart, scratch + part * sums);
            }
        }
#pragma omp for schedule(static)
        for (int row = 0; row < taps * c; row++) /* of a tap and a channel */
            for (int column = 0; column < k; column++) {
                float sum = 0;
                for (int part = 0; part < PARTS; part++) sum += scratch[part * sums + (size_t)row * columns + column];
                gradient[(size_t)column * taps * c + row] = sum;
            }
    }
}
