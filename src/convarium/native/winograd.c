/* Convolutions of stride 1 by Winograd's minimal filtering: Lavin and Gray 2015, arXiv 1509.09308.

   A tile of inputs d and a kernel g, of 3×3 or 5×5, make 4×4 outputs Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A; the tile has 6×6 or 8×8
   inputs, and so many products a channel in place of 144 or 400, a quarter or a sixth. Between the transforms stands, for
   each of these points, a product of matrices, (tiles × c) · (c × k). Weights come and go transformed, as (points, c, k);
   the polynomials are evaluated at 0, ±1, ±2, for 8×8 at ±½ too, and ∞. The gradient by the weights is the adjoint, a
   product over the tiles. */

#include "tiles.h"
#include <omp.h>
#include <string.h>

#define ROWS 6 /* rows × 2 sums, 2 right sides and a left one are the 16 registers that AVX2 has */
/* How far apart the points of so many tiles lie: an odd number of a cache's lines, lest all want one of its sets. */
#define APART(tiles, channels) ((size_t)(tiles) * (channels) | 16)

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

INLINE void convolve(const int side, const float *x, shape in, const float *weights, const float *bias, float *y, shape out,
                     int padding, const float *zeros, int tiles, float *scratch, int threads) {
    int down = (out.height + OUT - 1) / OUT, across = (out.width + OUT - 1) / OUT, width = across * OUT + side - OUT;
    int c = in.channels, k = out.channels, all = out.images * down * across;
    size_t one = (size_t)side * side * ROWS; /* numbers a channel of a group of tiles, which are near each other in memory */
    size_t line = (size_t)width * c, each = one * (tiles / ROWS) * (c + k) + side * line;
#pragma omp parallel num_threads(threads)
    {
        float *v = scratch + omp_get_thread_num() * each;
        float *p = v + one * (tiles / ROWS) * c, *strip = p + one * (tiles / ROWS) * k;
        int at = -1; /* the row of tiles that the strip is of */
#pragma omp for schedule(static)
        for (int first = 0; first < all; first += tiles) {
            int here = all - first < tiles ? all - first : tiles;
            for (int i = 0; i < tiles; i++) {
                int tile = i < here ? first + i : all - 1;
                if (at != tile / across) {
                    at = tile / across;
                    strip_of(side, 0, x, in, at / down, at % down * OUT - padding, padding, width, zeros, strip);
                }
                spread(side, 0, strip + (size_t)(tile % across) * OUT * c, line, c, v + (i / ROWS * one + i % ROWS) * c,
                       (size_t)ROWS * c);
            }
            for (int point = 0; point < side * side; point++)
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
                int row = (first + i) / across, top = row % down * OUT, left = (first + i) % across * OUT;
                int rows = out.height - top, columns = out.width - left;
                const float *from = p + (i / ROWS * one + i % ROWS) * k;
                float *to = y + (((size_t)(row / down) * out.height + top) * out.width + left) * k;
                if (rows >= OUT && columns >= OUT)
                    gather(side, OUT, OUT, from, (size_t)ROWS * k, bias, to, (size_t)out.width * k, k);
                else
                    gather(side, rows < OUT ? rows : OUT, columns < OUT ? columns : OUT, from, (size_t)ROWS * k, bias, to,
                           (size_t)out.width * k, k);
            }
        }
    }
}

/* Transforms the tiles `from` to `to`, of the input and of the gradient, to their places among so many from `first` on. */
INLINE void transform(const int side, const float *x, shape in, const float *dy, shape out, int padding,
                      const float *zeros, int first, int from, int to, int tiles, float *v, float *g, float *strips) {
    int down = (out.height + OUT - 1) / OUT, across = (out.width + OUT - 1) / OUT, width = across * OUT + side - OUT;
    int c = in.channels, k = out.channels, at = -1;
    float *other = strips + (size_t)side * width * c;
    for (int tile = from; tile < to; tile++) {
        size_t column = (size_t)(tile % across) * OUT, i = tile - first;
        if (at != tile / across) {
            at = tile / across;
            strip_of(side, 0, x, in, at / down, at % down * OUT - padding, padding, width, zeros, strips);
            strip_of(side, 1, dy, out, at / down, at % down * OUT, 0, across * OUT, zeros, other);
        }
        spread(side, 0, strips + column * c, (size_t)width * c, c, v + i * c, APART(tiles, c));
        spread(side, 1, other + column * k, (size_t)across * OUT * k, k, g + i * k, APART(tiles, k));
    }
}

/* The products of so many tiles at one point; `add`: to the sums that are there. */
INLINE void products(const int add, int point, int here, int tiles, const float *v, const float *g, int c, int k,
                     float *sums) {
    for (int i = 0, rows; i < c; i += rows) {
        rows = c - i == 4 || c - i == 8 ? 4 : ROWS;
        for (int j = 0; j < k;) {
            const float *left = v + point * APART(tiles, c) + i, *right = g + point * APART(tiles, k) + j;
            float *sum = sums + ((size_t)point * c + i) * k + j;
            int two = j + 2 * LANES <= k;
            if (two && rows == ROWS)
                multiply(ROWS, 2, add, here, left, 1, c, right, sum, k);
            else if (two)
                multiply(4, 2, add, here, left, 1, c, right, sum, k);
            else if (rows == ROWS)
                multiply(ROWS, 1, add, here, left, 1, c, right, sum, k);
            else
                multiply(4, 1, add, here, left, 1, c, right, sum, k);
            j += two ? 2 * LANES : LANES;
        }
    }
}

INLINE void by_weights(const int side, const float *x, shape in, const float *dy, shape out, float *sums, int padding,
                       const float *zeros, int parts, int tiles, float *scratch, int threads) {
    int down = (out.height + OUT - 1) / OUT, across = (out.width + OUT - 1) / OUT;
    int c = in.channels, k = out.channels, all = out.images * down * across;
    size_t of_v = side * side * APART(tiles, c), each = of_v + side * side * APART(tiles, k);
    size_t one = (size_t)c * k, whole = side * side * one;
    size_t strips = (size_t)side * ((across * OUT + side - OUT) * c + across * OUT * k);
    if (parts > 1) { /* each thread on its own; always as many parts, so that the sums do not depend on the threads */
        float *parted = scratch + threads * (each + strips);
#pragma omp parallel for schedule(static) num_threads(threads)
        for (int part = 0; part < parts; part++) {
            float *v = scratch + omp_get_thread_num() * (each + strips), *g = v + of_v;
            int from = (long)all * part / parts, to = (long)all * (part + 1) / parts;
            if (from == to) memset(parted + part * whole, 0, sizeof(float) * whole);
            for (int first = from; first < to; first += tiles) {
                int here = to - first < tiles ? to - first : tiles;
                transform(side, x, in, dy, out, padding, zeros, first, first, first + here, tiles, v, g, v + each);
                for (int point = 0; point < side * side; point++)
                    if (first > from)
                        products(1, point, here, tiles, v, g, c, k, parted + part * whole);
                    else
                        products(0, point, here, tiles, v, g, c, k, parted + part * whole);
            }
        }
#pragma omp parallel for schedule(static) num_threads(threads)
        for (int point = 0; point < side * side; point++) {
            memcpy(sums + point * one, parted + point * one, sizeof(float) * one);
            for (int part = 1; part < parts; part++)
                for (size_t i = point * one; i < (point + 1) * one; i++) sums[i] += parted[part * whole + i];
        }
        return;
    }
    float *v = scratch, *g = v + of_v;
    for (int first = 0; first < all; first += tiles) {
        int here = all - first < tiles ? all - first : tiles;
#pragma omp parallel for schedule(static) num_threads(threads)
        for (int part = 0; part < threads; part++)
            transform(side, x, in, dy, out, padding, zeros, first, first + (long)here * part / threads,
                      first + (long)here * (part + 1) / threads, tiles, v, g, v + each + part * strips);
#pragma omp parallel for schedule(static) num_threads(threads) /* by points: every sum has its order, however many */
        for (int point = 0; point < side * side; point++)
            if (first)
                products(1, point, here, tiles, v, g, c, k, sums);
            else
                products(0, point, here, tiles, v, g, c, k, sums);
    }
}

int lanes(void) { return LANES; }

/* x (n, h, w, c) and weights (side², c, k) → y (n, oh, ow, k). `zeros`: as many as a line of the images has numbers.
   `tiles`: at once, a multiple of 6. `scratch`: threads × side × (side × tiles × (c + k) + w' × c), where w' is ow filled
   up to a multiple of 4, and side − 4. */
void winograd_convolve(int side, const float *x, int n, int h, int w, int c, const float *weights, const float *bias,
                       float *y, int oh, int ow, int k, int padding, const float *zeros, int tiles, float *scratch,
                       int threads) {
    shape in = {n, h, w, c}, out = {n, oh, ow, k};
    if (side == 6)
        convolve(6, x, in, weights, bias, y, out, padding, zeros, tiles, scratch, threads);
    else
        convolve(8, x, in, weights, bias, y, out, padding, zeros, tiles, scratch, threads);
}

/* x and dy (n, oh, ow, k) → sums (side², c, k), the gradient by the transformed weights. It is added up in so many parts,
   if more than one by threads on their own. `zeros`: as many as a line of x or dy has numbers. `scratch`: threads × side ×
   (w' × c + (w' + 4 − side) × k), with w' as above, and side² × (threads × t + parts × c × k) or, with one part, side² × t,
   where t = tiles × (c + k) + 32. */
void winograd_by_weights(int side, const float *x, int n, int h, int w, int c, const float *dy, int oh, int ow, int k,
                         float *sums, int padding, const float *zeros, int parts, int tiles, float *scratch,
                         int threads) {
    shape in = {n, h, w, c}, out = {n, oh, ow, k};
    if (side == 6)
        by_weights(6, x, in, dy, out, sums, padding, zeros, parts, tiles, scratch, threads);
    else
        by_weights(8, x, in, dy, out, sums, padding, zeros, parts, tiles, scratch, threads);
}
