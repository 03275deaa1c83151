/* The gradient by the weights of a direct convolution in bfloat16: sums over the pixels of pairs of images. */

#include "pairs.h"

#define INPUTS (LANES == 16 ? 8 : 4)  /* whose sums with two vectors of outputs fit in registers; twice as many with one vector */

/* Interleave two images (h, w, c) as pairs, with so much zero around and so many channels. `other` is NULL behind the last. */
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

/* Add the products of so many neighbouring inputs with the gradients, over all pixels, to sums (inputs, columns). */
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

/* The same for all inputs, taps and channels, and all outputs. */
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
void direct_grad_weight(const uint16_t *x, const uint16_t *dy, float *gradient, int n, int h, int w, int c, int oh, int ow,
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
        for (int row = 0; row < taps * c; row++) /* one row per tap and channel */
            for (int column = 0; column < k; column++) {
                float sum = 0;
                for (int part = 0; part < PARTS; part++) sum += scratch[part * sums + (size_t)row * columns + column];
                gradient[(size_t)column * taps * c + row] = sum;
            }
    }
}
