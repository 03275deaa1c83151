/* Convolutions of stride 1 by Winograd's minimal filtering: Lavin and Gray 2015, arXiv 1509.09308.

   A tile of 6×6 inputs d and a kernel g of r×r make m×m outputs, m = 7 − r, as Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A: 36 products
   a channel in place of m²r², a quarter for 3×3 kernels and 36 % for 5×5. Between the transforms stands, for each of the
   36 points, a product of matrices, (tiles × c) · (c × k). Weights come and go transformed, as (36, c, k); the points are
   0, ±1, ±2 and ∞, for both sizes of kernel. The gradient by the weights is the adjoint, a product over the tiles. */

#include "vectors.h"
#include <omp.h>
#include <string.h>

#define SIDE 6
#define POINTS 36
#define ROWS 6 /* rows × 2 sums, 2 right sides and a left one are the 16 registers that AVX2 has */

typedef struct {
    int images, height, width, channels;
} shape;

/* Bᵀd, in and out with strides */
INLINE void of_input(const vec *d, vec *t, int out) {
    vec a = d[4] - 4 * d[2], b = d[3] - 4 * d[1], c = d[4] - d[2], e = 2 * (d[3] - d[1]);
    t[0] = 4 * d[0] - 5 * d[2] + d[4];
    t[out] = a + b;
    t[2 * out] = a - b;
    t[3 * out] = c + e;
    t[4 * out] = c - e;
    t[5 * out] = 4 * d[1] - 5 * d[3] + d[5];
}

/* Aᵀm */
INLINE void of_product(const int m, const vec *d, vec *y, int out) {
    vec sum = d[1] + d[2], difference = d[1] - d[2], far = d[3] + d[4], wide = d[3] - d[4];
    y[0] = d[0] + sum + far;
    y[out] = difference + 2 * wide;
    if (m == 4) {
        y[2 * out] = sum + 4 * far;
        y[3 * out] = difference + 8 * wide + d[5];
    } else {
        y[out] += d[5];
    }
}

/* A y, the adjoint of `of_product` */
INLINE void of_gradient(const int m, const vec *y, vec *t, int out) {
    vec even = y[0], odd = y[1], far = y[0], wide = 2 * y[1];
    if (m == 4) {
        even += y[2];
        odd += y[3];
        far += 4 * y[2];
        wide += 8 * y[3];
    }
    t[0] = y[0];
    t[out] = even + odd;
    t[2 * out] = even - odd;
    t[3 * out] = far + wide;
    t[4 * out] = far - wide;
    t[5 * out] = y[m - 1];
}

/* Where the pixels of a square lie; those outside of the image are `zeros`. */
INLINE void square(const float *x, shape s, int n, int top, int left, const int side, const float *zeros,
                   const float **at) {
    for (int i = 0; i < side; i++)
        for (int j = 0; j < side; j++) {
            int h = top + i, w = left + j;
            int inside = n < s.images && h >= 0 && h < s.height && w >= 0 && w < s.width;
            at[i * side + j] = inside ? x + (((size_t)n * s.height + h) * s.width + w) * s.channels : zeros;
        }
}

/* A square's pixels, transformed on both sides and spread over the points, `point` numbers apart: of an input where
   m = 0, else of the gradient of m×m outputs. */
INLINE void spread(const int m, const float **at, int channels, float *out, size_t point) {
    const int side = m ? m : SIDE;
    for (int c = 0; c < channels; c += LANES) {
        vec d[SIDE], t[SIDE * SIDE];
#pragma GCC unroll 6
        for (int j = 0; j < side; j++) {
#pragma GCC unroll 6
            for (int i = 0; i < side; i++) d[i] = load(at[i * side + j] + c);
            if (m)
                of_gradient(m, d, t + j, SIDE);
            else
                of_input(d, t + j, SIDE);
        }
#pragma GCC unroll 6
        for (int i = 0; i < SIDE; i++) {
            if (m)
                of_gradient(m, t + i * SIDE, d, 1);
            else
                of_input(t + i * SIDE, d, 1);
            for (int j = 0; j < SIDE; j++) store(out + (i * SIDE + j) * point + c, d[j]);
        }
    }
}

/* Back from the points to m×m outputs and fewer at the edges, with the bias. */
INLINE void gather(const int m, const float *in, size_t point, const float *bias, float *y, shape s, int n, int top,
                   int left) {
    int rows = s.height - top < m ? s.height - top : m, columns = s.width - left < m ? s.width - left : m;
    float *at = y + (((size_t)n * s.height + top) * s.width + left) * s.channels;
    for (int k = 0; k < s.channels; k += LANES) {
        vec d[SIDE], t[4 * SIDE], u[4], b = load(bias + k);
#pragma GCC unroll 6
        for (int j = 0; j < SIDE; j++) {
#pragma GCC unroll 6
            for (int i = 0; i < SIDE; i++) d[i] = load(in + (i * SIDE + j) * point + k);
            of_product(m, d, t + j, SIDE);
        }
        for (int i = 0; i < rows; i++) {
            of_product(m, t + i * SIDE, u, 1);
            for (int j = 0; j < columns; j++) store(at + ((size_t)i * s.width + j) * s.channels + k, u[j] + b);
        }
    }
}

/* out (rows × 1 or 2 vectors) = or += a·b over `length`; a's rows and steps lie `row` and `step` apart. */
INLINE void multiply(const int rows, const int vectors, const int add, int length, const float *a, size_t row,
                     size_t step, const float *b, float *out, size_t columns) {
    vec sum[ROWS][2];
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < vectors; j++) sum[i][j] = add ? load(out + i * columns + j * LANES) : (vec){0};
    for (int l = 0; l < length; l++) {
        vec right[2];
        for (int j = 0; j < vectors; j++) right[j] = load(b + l * columns + j * LANES);
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < vectors; j++) sum[i][j] += a[i * row + l * step] * right[j];
    }
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < vectors; j++) store(out + i * columns + j * LANES, sum[i][j]);
}

INLINE void convolve(const int m, const float *x, shape in, const float *weights, const float *bias, float *y, shape out,
                     int padding, const float *zeros, int tiles, float *scratch, int threads) {
    int down = (out.height + m - 1) / m, across = (out.width + m - 1) / m;
    int c = in.channels, k = out.channels, all = out.images * down * across;
    size_t one = (size_t)POINTS * ROWS; /* numbers a channel of a group of tiles, which are near each other in memory */
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int first = 0; first < all; first += tiles) {
        float *v = scratch + omp_get_thread_num() * one * (tiles / ROWS) * (c + k), *p = v + one * (tiles / ROWS) * c;
        int here = all - first < tiles ? all - first : tiles;
        for (int i = 0; i < tiles; i++) {
            const float *at[POINTS];
            int tile = first + i, n = i < here ? tile / (down * across) : in.images;
            square(x, in, n, tile / across % down * m - padding, tile % across * m - padding, SIDE, zeros, at);
            spread(0, at, c, v + (i / ROWS * one + i % ROWS) * c, (size_t)ROWS * c);
        }
        for (int point = 0; point < POINTS; point++)
            for (int j = 0; j < k;) {
                const float *right = weights + (size_t)point * c * k + j;
                int two = j + 2 * LANES <= k;
                for (int group = 0; group < tiles / ROWS; group++) {
                    const float *left = v + (group * one + point * ROWS) * c;
                    float *product = p + (group * one + point * ROWS) * k + j;
                    if (two)
                        multiply(ROWS, 2, 0, c, left, c, 1, right, product, k);
                    else
                        multiply(ROWS, 1, 0, c, left, c, 1, right, product, k);
                }
                j += two ? 2 * LANES : LANES;
            }
        for (int i = 0; i < here; i++) {
            int tile = first + i;
            gather(m, p + (i / ROWS * one + i % ROWS) * k, (size_t)ROWS * k, bias, y, out, tile / (down * across),
                   tile / across % down * m, tile % across * m);
        }
    }
}

/* Transforms tile number `first` + `i`, of the input and of the gradient, to place i among `tiles`. */
INLINE void transform(const int m, const float *x, shape in, const float *dy, shape out, int padding,
                      const float *zeros, int first, int i, int tiles, float *v, float *g) {
    const float *at[POINTS];
    int down = (out.height + m - 1) / m, across = (out.width + m - 1) / m, tile = first + i;
    int n = tile / (down * across), top = tile / across % down * m, left = tile % across * m;
    square(x, in, n, top - padding, left - padding, SIDE, zeros, at);
    spread(0, at, in.channels, v + (size_t)i * in.channels, (size_t)tiles * in.channels);
    square(dy, out, n, top, left, m, zeros, at);
    spread(m, at, out.channels, g + (size_t)i * out.channels, (size_t)tiles * out.channels);
}

/* Adds the products of so many tiles at one point. */
INLINE void add_products(int point, int here, int tiles, const float *v, const float *g, int c, int k, float *sums) {
    for (int i = 0; i < c; i += 4)
        for (int j = 0; j < k;) {
            const float *left = v + (size_t)point * tiles * c + i, *right = g + (size_t)point * tiles * k + j;
            float *sum = sums + ((size_t)point * c + i) * k + j;
            int two = j + 2 * LANES <= k;
            if (two)
                multiply(4, 2, 1, here, left, 1, c, right, sum, k);
            else
                multiply(4, 1, 1, here, left, 1, c, right, sum, k);
            j += two ? 2 * LANES : LANES;
        }
}

INLINE void by_weights(const int m, const float *x, shape in, const float *dy, shape out, float *sums, int padding,
                       const float *zeros, int parts, int tiles, float *scratch, int threads) {
    int down = (out.height + m - 1) / m, across = (out.width + m - 1) / m;
    int c = in.channels, k = out.channels, all = out.images * down * across;
    size_t each = (size_t)POINTS * tiles * (c + k), whole = (size_t)POINTS * c * k;
    memset(sums, 0, sizeof(float) * whole);
    if (parts > 1) { /* each thread on its own; always as many parts, so that the sums do not depend on the threads */
#pragma omp parallel for schedule(static) num_threads(threads)
        for (int part = 0; part < parts; part++) {
            float *v = scratch + omp_get_thread_num() * each, *g = v + (size_t)POINTS * tiles * c;
            float *sum = scratch + threads * each + part * whole;
            int from = (long)all * part / parts, to = (long)all * (part + 1) / parts;
            memset(sum, 0, sizeof(float) * whole);
            for (int first = from; first < to; first += tiles) {
                int here = to - first < tiles ? to - first : tiles;
                for (int i = 0; i < here; i++) transform(m, x, in, dy, out, padding, zeros, first, i, tiles, v, g);
                for (int point = 0; point < POINTS; point++) add_products(point, here, tiles, v, g, c, k, sum);
            }
        }
        for (int part = 0; part < parts; part++)
            for (size_t i = 0; i < whole; i++) sums[i] += scratch[threads * each + part * whole + i];
        return;
    }
    float *v = scratch, *g = scratch + (size_t)POINTS * tiles * c;
    for (int first = 0; first < all; first += tiles) {
        int here = all - first < tiles ? all - first : tiles;
#pragma omp parallel for schedule(static) num_threads(threads)
        for (int i = 0; i < here; i++) transform(m, x, in, dy, out, padding, zeros, first, i, tiles, v, g);
#pragma omp parallel for schedule(static) num_threads(threads) /* by points: every sum has its order, however many */
        for (int point = 0; point < POINTS; point++) add_products(point, here, tiles, v, g, c, k, sums);
    }
}

int lanes(void) { return LANES; }

/* x (n, h, w, c) and weights (36, c, k) → y (n, oh, ow, k). `zeros`: as many as a pixel has channels. `tiles`: at once,
   a multiple of 6. `scratch`: threads × 36 × tiles × (c + k). */
void winograd_convolve(int m, const float *x, int n, int h, int w, int c, const float *weights, const float *bias,
                       float *y, int oh, int ow, int k, int padding, const float *zeros, int tiles, float *scratch,
                       int threads) {
    shape in = {n, h, w, c}, out = {n, oh, ow, k};
    if (m == 4)
        convolve(4, x, in, weights, bias, y, out, padding, zeros, tiles, scratch, threads);
    else
        convolve(2, x, in, weights, bias, y, out, padding, zeros, tiles, scratch, threads);
}

/* x and dy (n, oh, ow, k) → sums (36, c, k), the gradient by the transformed weights. It is added up in so many parts, if
   more than one by threads on their own, which wants a `scratch` of 36 × (threads × tiles × (c + k) + parts × c × k), else
   36 × tiles × (c + k). */
void winograd_by_weights(int m, const float *x, int n, int h, int w, int c, const float *dy, int oh, int ow, int k,
                         float *sums, int padding, const float *zeros, int parts, int tiles, float *scratch,
                         int threads) {
    shape in = {n, h, w, c}, out = {n, oh, ow, k};
    if (m == 4)
        by_weights(4, x, in, dy, out, sums, padding, zeros, parts, tiles, scratch, threads);
    else
        by_weights(2, x, in, dy, out, sums, padding, zeros, parts, tiles, scratch, threads);
}
