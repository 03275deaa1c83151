/* 3×3 convolutions of stride 1 by Winograd's minimal filtering: Lavin and Gray 2015, arXiv 1509.09308.

   A tile of 6×6 inputs d and a kernel g make 4×4 outputs Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A with 36 products a channel where there
   were 144. Between the transforms stands, for each of the 36 points, a product of matrices, (tiles × c) · (c × k). Weights
   come and go transformed, as (36, c, k). The gradient by the weights is the adjoint, a product over the tiles. */

#include "tiles.h"

#define ALL (POINTS * POINTS)
#define ROWS 6 /* rows × 2 sums, 2 right operands and a left one are the 16 registers that AVX2 has */
/* Distance between the points of so many tiles: an odd number of cache lines, so that they use different cache sets. */
#define APART(tiles, channels) ((size_t)(tiles) * (channels) | 16)

/* out (rows × 1 or 2 vectors) = a·b, or += if `add`, summed over `length`; a's rows and steps lie `row` and `step` apart. */
INLINE void multiply(const int rows, const int vectors, int add, int length, const float *a, size_t row,
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

/* `multiply` with a's rows next to each other, for all columns: an even or odd number of vectors. */
INLINE void multiply_across(const int rows, int add, int length, const float *a, size_t step, const float *b, float *out,
                            size_t columns) {
    size_t j = 0;
    for (; j + 2 * LANES <= columns; j += 2 * LANES)
        multiply(rows, 2, add, length, a, 1, step, b + j, out + j, columns);
    if (j < columns) multiply(rows, 1, add, length, a, 1, step, b + j, out + j, columns);
}

/* Transform `tiles` input tiles starting at `first`, in groups of ROWS for locality. Tiles behind the last one repeat it.
   `at` is the row of tiles whose strip is in `strip`. */
static void tiles_in(const float *x, shape in, grid g, int padding, const float *zeros, int first, int tiles, float *v,
                     float *strip, int *at) {
    int c = in.channels;
    for (int i = 0; i < tiles; i++) {
        int tile = first + i < g.all ? first + i : g.all - 1, row = tile / g.across;
        if (*at != row)
            make_strip(0, x, in, row / g.down, row % g.down * OUTPUTS - padding, padding, g.width, zeros, strip);
        *at = row;
        spread(0, strip + (size_t)(tile % g.across) * OUTPUTS * c, (size_t)g.width * c, c,
               v + ((size_t)i / ROWS * ALL * ROWS + i % ROWS) * c, (size_t)ROWS * c);
    }
}

/* Multiply so many groups of transformed tiles by the weights at all points. */
static void products_in(int groups, const float *v, int c, const float *weights, float *p, int k) {
    for (int point = 0; point < ALL; point++)
        for (int column = 0; column < k; column += 2 * LANES) {
            const float *right = weights + (size_t)point * c * k + column;
            for (int group = 0; group < groups; group++) {
                size_t at = ((size_t)group * ALL + point) * ROWS;
                if (column + 2 * LANES <= k)
                    multiply(ROWS, 2, 0, c, v + at * c, c, 1, right, p + at * k + column, k);
                else
                    multiply(ROWS, 1, 0, c, v + at * c, c, 1, right, p + at * k + column, k);
            }
        }
}

/* Transform so many tiles of products, starting at `first`, to outputs. */
static void tiles_out(const float *p, const float *bias, float *y, shape out, grid g, int first, int tiles) {
    int k = out.channels;
    for (int i = 0; i < tiles; i++) {
        int row = (first + i) / g.across, top = row % g.down * OUTPUTS, left = (first + i) % g.across * OUTPUTS;
        int rows = out.height - top, columns = out.width - left;
        const float *from = p + ((size_t)i / ROWS * ALL * ROWS + i % ROWS) * k;
        float *to = y + (((size_t)(row / g.down) * out.height + top) * out.width + left) * k;
        if (rows >= OUTPUTS && columns >= OUTPUTS)
            gather(OUTPUTS, OUTPUTS, from, (size_t)ROWS * k, bias, to, (size_t)out.width * k, k);
        else
            gather(rows < OUTPUTS ? rows : OUTPUTS, columns < OUTPUTS ? columns : OUTPUTS, from, (size_t)ROWS * k, bias, to,
                   (size_t)out.width * k, k);
    }
}

/* Scratch numbers of one thread: transformed tiles before and after the products, and the strip. */
static size_t forward_scratch(int c, int k, int ow, int tiles) {
    return (size_t)ALL * tiles * (c + k) + (size_t)POINTS * grid_of((shape){.width = ow}).width * c;
}

/* Size of `scratch` of `winograd_convolve`, in numbers. */
size_t winograd_convolve_scratch(int c, int ow, int k, int tiles, int threads) {
    return threads * forward_scratch(c, k, ow, tiles);
}

/* x (n, h, w, c) and transformed weights (36, c, k) → y (n, oh, ow, k). `zeros`: at least a line of the images. `tiles`: how
   many are processed at once, a multiple of 6. */
void winograd_convolve(const float *x, int n, int h, int w, int c, const float *weights, const float *bias, float *y,
                       int oh, int ow, int k, int padding, const float *zeros, int tiles, float *scratch, int threads) {
    shape in = {n, h, w, c}, out = {n, oh, ow, k};
    grid g = grid_of(out);
    size_t points = (size_t)ALL * tiles, each = forward_scratch(c, k, ow, tiles);
#pragma omp parallel num_threads(threads)
    {
        float *v = scratch + omp_get_thread_num() * each, *p = v + points * c, *strip = p + points * k;
        int at = -1;
#pragma omp for schedule(static)
        for (int first = 0; first < g.all; first += tiles) {
            tiles_in(x, in, g, padding, zeros, first, tiles, v, strip, &at);
            products_in(tiles / ROWS, v, c, weights, p, k);
            tiles_out(p, bias, y, out, g, first, g.all - first < tiles ? g.all - first : tiles);
        }
    }
}

/* Transform the tiles `from` to `to` of the inputs and of the gradients; `first` is the first of the tiles in v and g. */
static void tiles_of_both(const float *x, shape in, const float *dy, shape out, int padding, const float *zeros,
                          int first, int from, int to, int tiles, float *v, float *g, float *strips) {
    grid all = grid_of(out);
    int c = in.channels, k = out.channels, at = -1;
    float *other = strips + (size_t)POINTS * all.width * c;
    size_t line = (size_t)all.width * c, other_line = (size_t)all.across * OUTPUTS * k;
    for (int tile = from; tile < to; tile++) {
        size_t column = tile % all.across, i = tile - first;
        if (at != tile / all.across) {
            at = tile / all.across;
            int n = at / all.down, top = at % all.down * OUTPUTS;
            make_strip(0, x, in, n, top - padding, padding, all.width, zeros, strips);
            make_strip(1, dy, out, n, top, 0, all.across * OUTPUTS, zeros, other);
        }
        spread(0, strips + column * OUTPUTS * c, line, c, v + i * c, APART(tiles, c));
        spread(1, other + column * OUTPUTS * k, other_line, k, g + i * k, APART(tiles, k));
    }
}

/* Sum the products of so many tiles at one point into sums (36, c, k), or `add` to these. */
static void products_over_tiles(int add, int point, int here, int tiles, const float *v, const float *g, int c, int k,
                                float *sums) {
    const float *left = v + point * APART(tiles, c), *right = g + point * APART(tiles, k);
    for (int i = 0, rows; i < c; i += rows) {
        float *sum = sums + ((size_t)point * c + i) * k;
        rows = c - i == 4 || c - i == 8 ? 4 : ROWS;
        if (rows == ROWS)
            multiply_across(ROWS, add, here, left + i, c, right, sum, k);
        else
            multiply_across(4, add, here, left + i, c, right, sum, k);
    }
}

/* Sizes in numbers: of the transformed inputs, of these with the gradients, of a thread's strips, of the sums. */
typedef struct {
    size_t inputs, tiles, strips, sums;
} sizes;

static sizes sizes_of(int c, int k, int ow, int tiles) {
    size_t inputs = ALL * APART(tiles, c);
    grid g = grid_of((shape){.width = ow});
    size_t strips = POINTS * ((size_t)g.width * c + (size_t)g.across * OUTPUTS * k);
    return (sizes){inputs, inputs + ALL * APART(tiles, k), strips, (size_t)ALL * c * k};
}

/* Size of `scratch` of `winograd_grad_weight`, in numbers. */
size_t winograd_grad_weight_scratch(int c, int ow, int k, int parts, int tiles, int threads) {
    sizes s = sizes_of(c, k, ow, tiles);
    return parts > 1 ? threads * (s.tiles + s.strips) + parts * s.sums : s.tiles + threads * s.strips;
}

/* x and dy (n, oh, ow, k) → sums (36, c, k), the gradient by the transformed weights. With several parts each thread sums
   parts of its own, with one all threads share every sum. Neither order of summation depends on the number of threads.
   `zeros`: at least a line of x and of dy. */
void winograd_grad_weight(const float *x, int n, int h, int w, int c, const float *dy, int oh, int ow, int k, float *sums,
                          int padding, const float *zeros, int parts, int tiles, float *scratch, int threads) {
    shape in = {n, h, w, c}, out = {n, oh, ow, k};
    sizes s = sizes_of(c, k, ow, tiles);
    int all = grid_of(out).all;
    size_t each = s.tiles + s.strips, one = (size_t)c * k;
    if (parts > 1) {
        float *parted = scratch + threads * each;
#pragma omp parallel for schedule(static) num_threads(threads)
        for (int part = 0; part < parts; part++) {
            float *v = scratch + omp_get_thread_num() * each, *g = v + s.inputs;
            int from = (long)all * part / parts, to = (long)all * (part + 1) / parts;
            if (from == to) memset(parted + part * s.sums, 0, sizeof(float) * s.sums);
            for (int first = from; first < to; first += tiles) {
                int here = to - first < tiles ? to - first : tiles;
                tiles_of_both(x, in, dy, out, padding, zeros, first, first, first + here, tiles, v, g, v + s.tiles);
                for (int point = 0; point < ALL; point++)
                    products_over_tiles(first > from, point, here, tiles, v, g, c, k, parted + part * s.sums);
            }
        }
#pragma omp parallel for schedule(static) num_threads(threads)
        for (int point = 0; point < ALL; point++) {
            memcpy(sums + point * one, parted + point * one, sizeof(float) * one);
            for (int part = 1; part < parts; part++)
                for (size_t i = point * one; i < (point + 1) * one; i++) sums[i] += parted[part * s.sums + i];
        }
        return;
    }
    float *v = scratch, *g = v + s.inputs;
    for (int first = 0; first < all; first += tiles) {
        int here = all - first < tiles ? all - first : tiles;
#pragma omp parallel for schedule(static) num_threads(threads)
        for (int part = 0; part < threads; part++)
            tiles_of_both(x, in, dy, out, padding, zeros, first, first + (long)here * part / threads,
                          first + (long)here * (part + 1) / threads, tiles, v, g, v + s.tiles + part * s.strips);
#pragma omp parallel for schedule(static) num_threads(threads)
        for (int point = 0; point < ALL; point++)
            products_over_tiles(first > 0, point, here, tiles, v, g, c, k, sums);
    }
}

int lanes(void) { return LANES; }

const char *compiler_version(void) { return __VERSION__; }
