/* Linear layers in bfloat16 by units for matrices. Weights are float32 and rounded on the way to the units, so that no
   copy of them is written and read again; their gradient leaves the units as float32.

   Numbers are packed into matrices, a block of SIDE rows or columns after another, each a row of matrices along the sum;
   what is missing are zeros. */

#include "units.h"

#define CHUNK (2 * SIDE) /* numbers of the sum in a matrix */
#define AT_ONCE 4        /* blocks of weights, which stay in a core's second cache */
#define FEW (1 << 19)    /* products, which are not worth waking another thread for */
#define AHEAD 8          /* rows, which no processor foresees where they lie far apart */

INLINE int chunks(int numbers) { return (numbers + CHUNK - 1) / CHUNK; }

size_t linear_scratch(int n, int c, int k, int threads) {
    size_t most = n > c ? n : c, all = most > (size_t)k ? most : k;
    size_t images = (size_t)(blocks(n) + 1) * chunks(all), weights = (size_t)threads * AT_ONCE * chunks(all);
    size_t outer = (size_t)(blocks(c) + blocks(k)) * chunks(n);
    return 4 * WORDS * ((images + weights > outer ? images + weights : outer) + 4 * threads) + 64;
}

/* LANES numbers in bfloat16, of which so many are there. */
INLINE halves some(const int half, const void *from, size_t at, int there) {
    const void *start = (const char *)from + (half ? 2 : 4) * at;
    if (there >= LANES) return half ? *(const halves *)start : to_halves(load(start));
    if (there <= 0) return (halves){0};
    float numbers[LANES] = {0};
    uint16_t rounded[LANES] = {0};
    memcpy(half ? (void *)rounded : numbers, start, (half ? 2 : 4) * there);
    return half ? *(halves *)rounded : to_halves(load(numbers));
}

/* Rows from `first` on of (rows, c) numbers, the sum being along a row, as left matrices of one block. */
INLINE void pack_rows(const int half, const void *from, int rows, int c, int first, uint32_t *to) {
    for (int i = 0; i < SIDE; i++) {
        size_t start = (size_t)(first + i) * c;
        for (int chunk = 0; chunk < chunks(c); chunk++)
            for (int j = 0; j < CHUNK; j += LANES) {
                int at = chunk * CHUNK + j, there = first + i < rows ? c - at : 0;
                *(halves *)((uint16_t *)(to + chunk * WORDS + i * SIDE) + j) = some(half, from, start + at, there);
            }
    }
}

/* Columns from `first` on of (rows, c) numbers, the sum being down a column, as right matrices of so many blocks. */
INLINE void pack_columns(const int half, const void *from, int rows, int c, int first, int many, uint32_t *to) {
    size_t apart = chunks(rows) * WORDS;
    for (int row = 0; row < chunks(rows) * CHUNK; row += 2) {
        uint32_t *line = to + row / 2 * SIDE; /* chunks of SIDE pairs follow one another */
        size_t start = (size_t)row * c + first;
        if (row + AHEAD < rows)
            for (int j = 0; j < many * SIDE && first + j < c; j += 64 / 4) {
                const char *next = (const char *)from + (half ? 2 : 4) * (start + (size_t)AHEAD * c + j);
                __builtin_prefetch(next);
                __builtin_prefetch(next + (half ? 2 : 4) * (size_t)c);
            }
        for (int block = 0; block < many; block++)
            for (int j = 0; j < SIDE; j += LANES) {
                int at = block * SIDE + j, there = c - first - at;
                halves a = some(half, from, start + at, row < rows ? there : 0);
                halves b = some(half, from, start + c + at, row + 1 < rows ? there : 0);
                pair_vectors(a, b, line + block * apart + j);
            }
    }
}

/* Sums of 2 × 2 blocks, which may be the same, along so many matrices. */
INLINE void multiply(const uint32_t *left, const uint32_t *below, const uint32_t *right, const uint32_t *beside, int many,
                     void *sums[4], size_t apart) {
    WRITTEN;
    ZERO(0);
    ZERO(1);
    ZERO(2);
    ZERO(3);
    for (int i = 0; i < many; i++) {
        LOAD(4, left + i * WORDS, SIDE);
        LOAD(6, right + i * WORDS, SIDE);
        DOT(0, 4, 6);
        LOAD(5, below + i * WORDS, SIDE);
        DOT(2, 5, 6);
        LOAD(7, beside + i * WORDS, SIDE);
        DOT(1, 4, 7);
        DOT(3, 5, 7);
    }
    STORE(0, sums[0], apart);
    STORE(1, sums[1], apart);
    STORE(2, sums[2], apart);
    STORE(3, sums[3], apart);
    WRITTEN;
}

/* Sums (rows, outputs) of a block, with the bias, as numbers of y (n, k). */
static void give(const float *sums, const float *bias, uint16_t *y, int n, int k, int row, int column) {
    float start[SIDE] = {0};
    int there = smaller(SIDE, k - column);
    if (bias) memcpy(start, bias + column, 4 * there);
    for (int i = 0; i < SIDE && row + i < n; i++)
        for (int j = 0; j < there; j += LANES)
            store_some(y + (size_t)(row + i) * k + column + j, load(sums + i * SIDE + j) + load(start + j), there - j);
}

/* x (n, c) → y (n, k) = x·weight + bias, the weight lying as (k, c), or as (c, k) where it is `upright`. */
INLINE void apply(const int upright, const uint16_t *x, const float *weight, const float *bias, uint16_t *y, int n, int c,
                  int k, void *scratch, int threads) {
    uint32_t *images = (uint32_t *)(((uintptr_t)scratch + 63) & ~(uintptr_t)63);
    int many = chunks(c), groups = blocks(n), outputs = blocks(k);
    size_t block = (size_t)many * WORDS;
    uint32_t *rest = images + groups * block;
#pragma omp parallel num_threads((size_t)n * c * k < FEW ? 1 : threads)
    {
        int thread = omp_get_thread_num(), team = omp_get_num_threads();
        uint32_t *weights = rest + thread * (AT_ONCE * block + 4 * WORDS), *sums = weights + AT_ONCE * block;
        void *at[4] = {sums, sums + WORDS, sums + 2 * WORDS, sums + 3 * WORDS};
        units before = take_units();
#pragma omp for schedule(static)
        for (int group = 0; group < groups; group++) {
            uint32_t *to = images + group * block;
            pack_rows(1, x, n, c, group * SIDE, to);
            if (!upright)
                for (int i = 0; i < many; i++) transpose(to + i * WORDS);
        }
        for (int output = outputs * thread / team, end = outputs * (thread + 1) / team, here; output < end; output += here) {
            here = smaller(AT_ONCE, end - output);
            if (upright)
                pack_columns(0, weight, c, k, output * SIDE, here, weights);
            else
                for (int i = 0; i < here; i++) pack_rows(0, weight, k, c, (output + i) * SIDE, weights + i * block);
            for (int i = 0; i < here; i += 2)
                for (int group = 0; group < groups; group += 2) {
                    const uint32_t *w = weights + i * block, *v = i + 1 < here ? w + block : w;
                    const uint32_t *a = images + group * block, *b = group + 1 < groups ? a + block : a;
                    if (upright)
                        multiply(a, b, w, v, many, at, SIDE);
                    else
                        multiply(w, v, a, b, many, at, SIDE);
                    for (int j = 0; j < 4; j++) {
                        int of_row = upright ? j / 2 : j % 2, of_column = upright ? j % 2 : j / 2;
                        if (!upright) transpose(at[j]);
                        if (i + of_column < here)
                            give(at[j], bias, y, n, k, (group + of_row) * SIDE, (output + i + of_column) * SIDE);
                    }
                }
        }
        give_back(before);
    }
}

void linear_times(int upright, const uint16_t *x, const float *weight, const float *bias, uint16_t *y, int n, int c, int k,
                  void *scratch, int threads) {
    if (upright)
        apply(1, x, weight, bias, y, n, c, k, scratch, threads);
    else
        apply(0, x, weight, bias, y, n, c, k, scratch, threads);
}

/* a (n, c) and b (n, k) → aᵀ·b (c, k), a gradient by the weights. */
void linear_by_weights(const uint16_t *a, const uint16_t *b, float *gradient, int n, int c, int k, void *scratch,
                       int threads) {
    uint32_t *left = (uint32_t *)(((uintptr_t)scratch + 63) & ~(uintptr_t)63);
    int many = chunks(n), rows = blocks(c), columns = blocks(k);
    size_t block = (size_t)many * WORDS;
    uint32_t *right = left + rows * block, *rest = right + columns * block;
#pragma omp parallel num_threads((size_t)n * c * k < FEW ? 1 : threads)
    {
        int thread = omp_get_thread_num(), team = omp_get_num_threads();
        uint32_t *sums = rest + thread * 4 * WORDS;
        units before = take_units();
#pragma omp for schedule(static)
        for (int i = 0; i < columns; i++) pack_columns(1, b, n, k, i * SIDE, 1, right + i * block);
        for (int row = rows * thread / team, end = rows * (thread + 1) / team; row < end; row += 2) {
            int here = smaller(2, end - row);
            uint32_t *over = left + row * block, *under = here > 1 ? over + block : over;
            pack_columns(1, a, n, c, row * SIDE, here, over);
            for (int i = 0; i < here * many; i++) transpose(over + i * WORDS);
            for (int column = 0; column < columns; column += 2) {
                const uint32_t *w = right + column * block, *v = column + 1 < columns ? w + block : w;
                float *to = gradient + (size_t)row * SIDE * k + column * SIDE;
                if ((row + 2) * SIDE <= c && here > 1 && (column + 2) * SIDE <= k) {
                    multiply(over, under, w, v, many, (void *[]){to, to + SIDE, to + SIDE * k, to + SIDE * k + SIDE}, k);
                    continue;
                }
                multiply(over, under, w, v, many, (void *[]){sums, sums + WORDS, sums + 2 * WORDS, sums + 3 * WORDS}, SIDE);
                for (int j = 0; j < 2 * here; j++)
                    for (int i = 0; i < SIDE && (row + j / 2) * SIDE + i < c && (column + j % 2) * SIDE < k; i++)
                        memcpy(to + (size_t)(j / 2 * SIDE + i) * k + j % 2 * SIDE, sums + j * WORDS + i * SIDE,
                               4 * smaller(SIDE, k - (column + j % 2) * SIDE));
            }
        }
        give_back(before);
    }
}
