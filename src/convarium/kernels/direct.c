/* Direct convolutions in bfloat16: outputs and the gradient by the input, line by line. */

#include "pairs.h"

#define PIXELS (LANES == 16 ? 14 : 6) /* whose sums, one or two vectors of channels each, fit in registers */
#define MOST_TAPS 121                 /* 11×11 */

/* True if they are faster than PyTorch's: with matrix units (AMX) PyTorch is 2 to 15 times as fast. */
int direct_pays(void) {
#if defined __x86_64__ && !defined __AMX_BF16__
    return 1;
#else
    return 0;
#endif
}

static uint32_t rounded(float x) {
    union {
        float number;
        uint32_t bits;
    } u = {x};
    return x != x ? 0x7fc0 : (u.bits + 0x7fff + ((u.bits >> 16) & 1)) >> 16;
}

/* The convolution of one line. `offset`: from a pixel to each tap, in words. `step`, `out_step`: from pixel to pixel, in words
   of the padded image and in numbers of the output. `weights`: (taps, pairs, columns). */
typedef struct {
    int taps, pairs, columns, channels; /* columns: output channels, rounded up to whole vectors */
    size_t offset[MOST_TAPS], step, out_step;
    const uint32_t *weights;
    const float *bias; /* NULL: zeros */
} filter;

/* Compute so many neighbouring pixels, in so many vectors of channels from `column` on. */
INLINE void pixels_of(const int pixels, const int vectors, const filter *f, const uint32_t *x, int column,
                      uint16_t *y) {
    vec sum[PIXELS][2];
    size_t one = f->step, two = 2 * one, three = 3 * one; /* few registers for all addresses */
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

/* Compute a line of so many pixels. */
static void line_of(const filter *f, const uint32_t *x, int width, uint16_t *y) {
    int blocks = (width + PIXELS - 1) / PIXELS;
    for (int column = 0; column < f->columns; column += 2 * LANES)
        for (int block = 0; block < blocks; block++) {
            int from = (int64_t)width * block / blocks, to = (int64_t)width * (block + 1) / blocks;
            some_pixels(to - from, column + LANES < f->columns ? 2 : 1, f, x + from * f->step, column,
                        y + from * f->out_step);
        }
}

/* Round weights (k, taps, c) and pack those of the taps `taken` as pairs of neighbouring inputs, (many, pairs, outputs). Inputs
   are c and outputs k; if `back`, inputs are k and outputs c. */
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

/* Return an image (h, w, c) as pairs of channels with zeros around, (height, width, pairs): `padding` above and to the left, the
   rest below and to the right. It is written to `to`, unless the image itself is that already. */
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

/* Size of `scratch` for any of the three passes, in bytes. */
size_t direct_scratch(int n, int h, int w, int c, int oh, int ow, int k, int side, int stride, int padding, int threads) {
    layer l = {n, h, w, c, oh, ow, k, side, stride, padding};
    size_t taps = side * side, forward = taps * ((c + 1) / 2) * whole(k), back = taps * ((k + 1) / 2) * whole(c);
    forward += (size_t)threads * (h + 2 * padding) * (w + 2 * padding) * ((c + 1) / 2);
    back += (size_t)threads * back_size(l, h) * back_size(l, w) * ((k + 1) / 2);
    size_t sums = PARTS * taps * c * whole(k) + threads * together(l) * pair_of_images(l);
    size_t most = forward > back ? forward : back;
    return 4 * (most > sums ? most : sums);
}

/* x (n, h, w, c) and weights (k, side, side, c) → y (n, oh, ow, k). bias: (k,) in whole vectors, or NULL. */
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

/* dy (n, oh, ow, k) and weights → dx (n, h, w, c). Pixels one stride apart use the same taps. */
void direct_grad_input(const uint16_t *dy, const float *weights, uint16_t *dx, int n, int h, int w, int c, int oh, int ow,
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
