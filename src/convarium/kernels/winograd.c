/* Convolutions by Winograd's minimal filtering: Lavin and Gray 2015, arXiv 1509.09308.

   A tile of inputs d and a kernel g, of 3×3 or 5×5, make 4×4 outputs Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A; the tile has 6×6 or 8×8
   inputs, and so many products a channel in place of 144 or 400, a quarter or a sixth. At stride 2 a tile of 9×9 inputs
   makes 4×4 outputs of 81 products in place of 144, and one of 5×5 gradients 8×8 of the inputs'. Between the transforms
   stands, for each of these points, a product of matrices, (tiles × c) · (c × k). Weights come and go transformed, as
   (kinds², c, k); the polynomials are evaluated at 0, ±1, ±2, for 8×8 at ±½ too, with a stride at 0, ±1, 2, and ∞. The
   gradient by the weights is the adjoint, a product over the tiles. */

#include "tiles.h"

#define ROWS 6 /* rows × 2 sums, 2 right sides and a left one are the 16 registers that AVX2 has */
/* How far apart the points of so many tiles lie: an odd number of a cache's lines, lest all want one of its sets. */
#define APART(tiles, channels) ((size_t)(tiles) * (channels) | 16)

/* out (rows × 1 or 2 vectors) = or += a·b over `length`; a's rows and steps lie `row` and `step` apart. */
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

/* `multiply`, a's rows beside each other, for all columns: an even or odd number of vectors. */
INLINE void multiply_across(const int rows, int add, int length, const float *a, size_t step, const float *b, float *out,
                            size_t columns) {
    size_t j = 0;
    for (; j + 2 * LANES <= columns; j += 2 * LANES)
        multiply(rows, 2, add, length, a, 1, step, b + j, out + j, columns);
    if (j < columns) multiply(rows, 1, add, length, a, 1, step, b + j, out + j, columns);
}

/* Transforms so many tiles from `first` on to their points, in groups that are near each other in memory; what would be
   behind the last one is it again. `at`: the row of tiles that the strip is of. */
INLINE void tiles_in(const int filter, const float *x, shape in, grid g, int padding, const float *zeros, int first,
                     int tiles, float *v, float *strip, int *at) {
    const int step = TILE[filter].step, side = TILE[filter].points;
    int c = in.channels;
    for (int i = 0; i < tiles; i++) {
        int tile = first + i < g.all ? first + i : g.all - 1, row = tile / g.across;
        if (*at != row)
            strip_of(filter, 0, x, in, row / g.down, row % g.down * step - padding, padding, g.width, zeros, strip);
        *at = row;
        spread(filter, 0, strip + (size_t)(tile % g.across) * step * c, (size_t)g.width * c, c,
               v + ((size_t)i / ROWS * side * side * ROWS + i % ROWS) * c, (size_t)ROWS * c);
    }
}

/* The products of so many groups of tiles at all points. */
static void products_in(int filter, int groups, const float *v, int c, const float *weights, float *p, int k) {
    int side = TILE[filter].points, kinds = TILE[filter].kinds;
    for (int kind = 0; kind < kinds * kinds; kind++)
        for (int column = 0; column < k; column += 2 * LANES) {
            const float *right = weights + (size_t)kind * c * k + column;
            int two = column + 2 * LANES <= k;
            FOR_LIKE(i, kind / kinds) FOR_LIKE(j, kind % kinds) for (int group = 0; group < groups; group++) {
                size_t at = ((size_t)group * side * side + i * side + j) * ROWS;
                if (two)
                    multiply(ROWS, 2, 0, c, v + at * c, c, 1, right, p + at * k + column, k);
                else
                    multiply(ROWS, 1, 0, c, v + at * c, c, 1, right, p + at * k + column, k);
            }
        }
}

/* From the points of so many tiles to what they are outputs of. */
INLINE void tiles_out(const int filter, const float *p, const float *bias, float *y, shape out, grid g, int first,
                      int tiles) {
    const int outputs = TILE[filter].outputs, side = TILE[filter].points;
    int k = out.channels;
    for (int i = 0; i < tiles; i++) {
        int row = (first + i) / g.across, top = row % g.down * outputs, left = (first + i) % g.across * outputs;
        int rows = out.height - top, columns = out.width - left;
        const float *from = p + ((size_t)i / ROWS * side * side * ROWS + i % ROWS) * k;
        float *to = y + (((size_t)(row / g.down) * out.height + top) * out.width + left) * k;
        if (rows >= outputs && columns >= outputs)
            gather(filter, outputs, outputs, from, (size_t)ROWS * k, bias, to, (size_t)out.width * k, k);
        else
            gather(filter, rows < outputs ? rows : outputs, columns < outputs ? columns : outputs, from,
                   (size_t)ROWS * k, bias, to, (size_t)out.width * k, k);
    }
}

/* Of one thread: tiles at their points, before and after the products, and the strip. */
static size_t room(int filter, int c, int k, int ow, int tiles) {
    size_t side = TILE[filter].points;
    return side * side * tiles * (c + k) + side * grid_of(filter, (shape){.width = ow}).width * c;
}

/* Numbers of scratch memory that `winograd_convolve` takes. */
size_t winograd_convolve_scratch(int filter, int c, int ow, int k, int tiles, int threads) {
    return threads * room(filter, c, k, ow, tiles);
}

/* x (n, h, w, c) and weights (kinds², c, k) → y (n, oh, ow, k). `zeros`: as many as a line of the images has numbers.
   `tiles`: at once, a multiple of 6. */
void winograd_convolve(int filter, const float *x, int n, int h, int w, int c, const float *weights, const float *bias,
                       float *y, int oh, int ow, int k, int padding, const float *zeros, int tiles, float *scratch,
                       int threads) {
    shape in = {n, h, w, c}, out = {n, oh, ow, k};
    grid g = grid_of(filter, out);
    size_t points = (size_t)TILE[filter].points * TILE[filter].points * tiles, each = room(filter, c, k, ow, tiles);
#pragma omp parallel num_threads(threads)
    {
        float *v = scratch + omp_get_thread_num() * each, *p = v + points * c, *strip = p + points * k;
        int at = -1;
#pragma omp for schedule(static)
        for (int first = 0; first < g.all; first += tiles) {
            int here = g.all - first < tiles ? g.all - first : tiles;
#define IN(filter) tiles_in(filter, x, in, g, padding, zeros, first, tiles, v, strip, &at)
#define OUT(filter) tiles_out(filter, p, bias, y, out, g, first, here)
            KNOWN(filter, IN);
            products_in(filter, tiles / ROWS, v, c, weights, p, k);
            KNOWN(filter, OUT);
        }
    }
}

/* Transforms the tiles `from` to `to`, of the input and of the gradient, to their places among so many from `first` on. */
INLINE void transform_for(const int filter, const float *x, shape in, const float *dy, shape out, int padding,
                          const float *zeros, int first, int from, int to, int tiles, float *v, float *g, float *strips) {
    const int side = TILE[filter].points, step = TILE[filter].step, outputs = TILE[filter].outputs;
    grid all = grid_of(filter, out);
    int c = in.channels, k = out.channels, at = -1;
    float *other = strips + (size_t)side * all.width * c;
    size_t line = (size_t)all.width * c, other_line = (size_t)all.across * outputs * k;
    for (int tile = from; tile < to; tile++) {
        size_t column = tile % all.across, i = tile - first;
        if (at != tile / all.across) {
            at = tile / all.across;
            int n = at / all.down, down = at % all.down;
            strip_of(filter, 0, x, in, n, down * step - padding, padding, all.width, zeros, strips);
            strip_of(filter, 1, dy, out, n, down * outputs, 0, all.across * outputs, zeros, other);
        }
        spread(filter, 0, strips + column * step * c, line, c, v + i * c, APART(tiles, c));
        spread(filter, 1, other + column * outputs * k, other_line, k, g + i * k, APART(tiles, k));
    }
}

static void transform(int filter, const float *x, shape in, const float *dy, shape out, int padding, const float *zeros,
                      int first, int from, int to, int tiles, float *v, float *g, float *strips) {
#define BOTH(filter) transform_for(filter, x, in, dy, out, padding, zeros, first, from, to, tiles, v, g, strips)
    KNOWN(filter, BOTH);
}

/* The products of so many tiles at the points that are alike; `add`: to the sums that are there. */
static void products(int filter, int add, int kind, int here, int tiles, const float *v, const float *g, int c, int k,
                     float *sums) {
    int side = TILE[filter].points, kinds = TILE[filter].kinds;
    FOR_LIKE(y, kind / kinds) FOR_LIKE(x, kind % kinds) {
        const float *left = v + (y * side + x) * APART(tiles, c), *right = g + (y * side + x) * APART(tiles, k);
        for (int i = 0, rows; i < c; i += rows) {
            float *sum = sums + ((size_t)kind * c + i) * k;
            rows = c - i == 4 || c - i == 8 ? 4 : ROWS;
            if (rows == ROWS)
                multiply_across(ROWS, add, here, left + i, c, right, sum, k);
            else
                multiply_across(4, add, here, left + i, c, right, sum, k);
        }
        add = 1;
    }
}

/* Numbers: of the transformed tiles, input's and all; of a thread's strips; of the sums. */
typedef struct {
    size_t of_v, tiles, strips, sums;
} rooms;

static rooms rooms_of(int filter, int c, int k, int ow, int tiles) {
    size_t side = TILE[filter].points, kinds = TILE[filter].kinds, of_v = side * side * APART(tiles, c);
    grid g = grid_of(filter, (shape){.width = ow});
    size_t strips = side * ((size_t)g.width * c + (size_t)g.across * TILE[filter].outputs * k);
    return (rooms){of_v, of_v + side * side * APART(tiles, k), strips, kinds * kinds * c * k};
}

/* Numbers of scratch memory that `winograd_by_weights` takes. */
size_t winograd_by_weights_scratch(int filter, int c, int ow, int k, int parts, int tiles, int threads) {
    rooms r = rooms_of(filter, c, k, ow, tiles);
    return parts > 1 ? threads * (r.tiles + r.strips) + parts * r.sums : r.tiles + threads * r.strips;
}

/* x and dy (n, oh, ow, k) → sums (kinds², c, k), the gradient by the transformed weights. It is added up in so many parts,
   if more than one by threads on their own. `zeros`: as many as a line of x or dy has numbers. */
void winograd_by_weights(int filter, const float *x, int n, int h, int w, int c, const float *dy, int oh, int ow, int k,
                         float *sums, int padding, const float *zeros, int parts, int tiles, float *scratch,
                         int threads) {
    shape in = {n, h, w, c}, out = {n, oh, ow, k};
    rooms r = rooms_of(filter, c, k, ow, tiles);
    int all = grid_of(filter, out).all, kinds = TILE[filter].kinds * TILE[filter].kinds;
    size_t of_v = r.of_v, each = r.tiles, strips = r.strips, whole = r.sums, one = whole / kinds;
    if (parts > 1) { /* each thread on its own; always as many parts, so that the sums do not depend on the threads */
        float *parted = scratch + threads * (each + strips);
#pragma omp parallel for schedule(static) num_threads(threads)
        for (int part = 0; part < parts; part++) {
            float *v = scratch + omp_get_thread_num() * (each + strips), *g = v + of_v;
            int from = (long)all * part / parts, to = (long)all * (part + 1) / parts;
            if (from == to) memset(parted + part * whole, 0, sizeof(float) * whole);
            for (int first = from; first < to; first += tiles) {
                int here = to - first < tiles ? to - first : tiles;
                transform(filter, x, in, dy, out, padding, zeros, first, first, first + here, tiles, v, g, v + each);
                for (int kind = 0; kind < kinds; kind++)
                    products(filter, first > from, kind, here, tiles, v, g, c, k, parted + part * whole);
            }
        }
#pragma omp parallel for schedule(static) num_threads(threads)
        for (int kind = 0; kind < kinds; kind++) {
            memcpy(sums + kind * one, parted + kind * one, sizeof(float) * one);
            for (int part = 1; part < parts; part++)
                for (size_t i = kind * one; i < (kind + 1) * one; i++) sums[i] += parted[part * whole + i];
        }
        return;
    }
    float *v = scratch, *g = v + of_v;
    for (int first = 0; first < all; first += tiles) {
        int here = all - first < tiles ? all - first : tiles;
#pragma omp parallel for schedule(static) num_threads(threads)
        for (int part = 0; part < threads; part++)
            transform(filter, x, in, dy, out, padding, zeros, first, first + (long)here * part / threads,
                      first + (long)here * (part + 1) / threads, tiles, v, g, v + each + part * strips);
#pragma omp parallel for schedule(static) num_threads(threads) /* by kinds: every sum has its order, however many */
        for (int kind = 0; kind < kinds; kind++)
            products(filter, first > 0, kind, here, tiles, v, g, c, k, sums);
    }
}

int lanes(void) { return LANES; }
