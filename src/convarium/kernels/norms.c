/* Batch norm of (rows, c) numbers in training, together with the ReLU that may follow it, which saves writing and reading
   them once more. Numbers are float32 or bfloat16; sums are float32 within a chunk and double over all chunks. */

#include "vectors.h"
#include <math.h>

#define CHUNKS 32  /* a constant, so that the order of summation does not depend on the threads */
#define TOGETHER 4 /* rows processed as one, because one may be shorter than a vector */
#define BLOCK 4    /* vectors whose sums stay in registers */

INLINE vec where_positive(vec of, vec x) { return (vec)((words)x & ~(words)(of <= 0)); } /* NaN stays NaN */

/* Repeat c numbers TOGETHER times. */
INLINE void tile(const float *x, int c, float *out) {
    for (int t = 0; t < TOGETHER; t++)
        for (int i = 0; i < c; i++) out[t * c + i] = x[i];
}

typedef struct { /* one per column of TOGETHER rows */
    const float *origin, *scale, *shift;
} columns;

/* Sum a chunk's columns: a = x − origin and a², or with dy the gradient g behind the ReLU and g·a. */
INLINE void add_up(const int half, const int relu, const int vectors, const void *x, const void *dy, size_t from,
                   size_t to, size_t width, size_t j, columns at, float *first, float *second) {
    vec sum[BLOCK], product[BLOCK];
    for (int b = 0; b < vectors; b++) sum[b] = product[b] = (vec){0};
    for (size_t row = from; row < to; row++)
        for (int b = 0; b < vectors; b++) {
            size_t i = j + b * LANES;
            vec v = load_at(half, x, row * width + i), a = v - load(at.origin + i), g = a;
            if (dy) g = load_at(half, dy, row * width + i);
            if (relu) g = where_positive(v * load(at.scale + i) + load(at.shift + i), g);
            sum[b] += g;
            product[b] += g * a;
        }
    for (int b = 0; b < vectors; b++) {
        store(first + j + b * LANES, sum[b]);
        store(second + j + b * LANES, product[b]);
    }
}

/* CALL with constant arguments: an OpenMP region does not propagate constants into the functions that it calls. */
#define KNOWN(half, relu, CALL)                                                                                         \
    do                                                                                                                  \
        switch (2 * half + relu) {                                                                                      \
        case 0: CALL(0, 0); break;                                                                                      \
        case 1: CALL(0, 1); break;                                                                                      \
        case 2: CALL(1, 0); break;                                                                                      \
        default: CALL(1, 1);                                                                                            \
        }                                                                                                               \
    while (0)

/* Sum all columns of a chunk. */
INLINE void add_all(const int half, const int relu, const void *x, const void *dy, size_t from, size_t to, size_t width,
                    columns at, float *first, float *second) {
    size_t j = 0;
    for (; j + BLOCK * LANES <= width; j += BLOCK * LANES)
        add_up(half, relu, BLOCK, x, dy, from, to, width, j, at, first, second);
    for (; j < width; j += LANES) add_up(half, relu, 1, x, dy, from, to, width, j, at, first, second);
}

/* Sum each channel over all rows: (c,) each. */
static void sums(int half, int relu, const void *x, const void *dy, size_t rows, int c, columns at, float *scratch,
                 double *first, double *second, int threads) {
    size_t width = (size_t)TOGETHER * c, groups = rows / TOGETHER;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int chunk = 0; chunk < CHUNKS; chunk++) {
        size_t from = groups * chunk / CHUNKS, to = groups * (chunk + 1) / CHUNKS;
        float *a = scratch + 2 * width * chunk;
#define OF_X(half, relu) add_all(half, 0, x, NULL, from, to, width, at, a, a + width)
#define OF_GRADIENT(half, relu) add_all(half, relu, x, dy, from, to, width, at, a, a + width)
        if (dy)
            KNOWN(half, relu, OF_GRADIENT);
        else
            KNOWN(half, 0, OF_X);
    }
    for (int i = 0; i < c; i++) first[i] = second[i] = 0;
    for (int part = 0; part < CHUNKS * TOGETHER; part++) {
        const float *a = scratch + (size_t)(part / TOGETHER * 2 * TOGETHER + part % TOGETHER) * c, *b = a + width;
        for (int i = 0; i < c; i++) {
            first[i] += a[i];
            second[i] += b[i];
        }
    }
}

INLINE void scaled(const int half, const int relu, const void *x, void *y, size_t from, size_t to, size_t width,
                   const float *scale, const float *shift) {
    for (size_t row = from; row < to; row++)
        for (size_t j = 0; j < width; j += LANES) {
            vec v = load_at(half, x, row * width + j) * load(scale + j) + load(shift + j);
            store_at(half, y, row * width + j, relu ? where_positive(v, v) : v);
        }
}

INLINE void gradients(const int half, const int relu, const void *x, const void *dy, void *dx, size_t from, size_t to,
                      size_t width, columns at, const float *of_x, const float *constant) {
    for (size_t row = from; row < to; row++)
        for (size_t j = 0; j < width; j += LANES) {
            vec v = load_at(half, x, row * width + j), g = load_at(half, dy, row * width + j), scale = load(at.scale + j);
            if (relu) g = where_positive(v * scale + load(at.shift + j), g);
            store_at(half, dx, row * width + j, g * scale + v * load(of_x + j) + load(constant + j));
        }
}

/* x (rows, c) → y (rows, c), and the batch's mean and inverse standard deviation (c,). Updates the running statistics and
   counts the batch. `rows` is a multiple of 4, `c` of a quarter of the lanes. `scratch`: 32 × 8 × c numbers. */
void norm_forward(int half, int relu, const void *x, void *y, size_t rows, int c, const float *weight, const float *bias,
                  float eps, float momentum, float *running_mean, float *running_variance, int64_t *batches, float *mean,
                  float *inverse, float *scratch, int threads) {
    size_t width = (size_t)TOGETHER * c, groups = rows / TOGETHER;
    float origin[c], scale[c], shift[c], tiles[3 * width];
    double first[c], second[c];
    for (int i = 0; i < c; i++) origin[i] = 0;
    for (size_t some = 0; some < CHUNKS; some++) { /* sums are taken around the mean of a few rows, for accuracy */
        size_t at = rows * some / CHUNKS * c;
        for (int i = 0; i < c; i++) {
            uint32_t bits = half ? (uint32_t)((const uint16_t *)x)[at + i] << 16 : 0;
            float number;
            __builtin_memcpy(&number, half ? (const void *)&bits : (const void *)((const float *)x + at + i), 4);
            origin[i] += number / CHUNKS;
        }
    }
    tile(origin, c, tiles);
    sums(half, 0, x, NULL, rows, c, (columns){tiles, NULL, NULL}, scratch, first, second, threads);
    ++*batches;
    for (int i = 0; i < c; i++) {
        double away = first[i] / rows, variance = second[i] / rows - away * away;
        if (variance < 0) variance = 0;
        mean[i] = origin[i] + away;
        inverse[i] = 1 / sqrt(variance + eps);
        running_mean[i] += momentum * (mean[i] - running_mean[i]);
        running_variance[i] += momentum * (variance * rows / (rows - 1) - running_variance[i]);
        scale[i] = weight[i] * inverse[i];
        shift[i] = bias[i] - mean[i] * scale[i];
    }
    tile(scale, c, tiles + width);
    tile(shift, c, tiles + 2 * width);
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int part = 0; part < threads; part++) {
        size_t from = groups * part / threads, to = groups * (part + 1) / threads;
#define SCALED(half, relu) scaled(half, relu, x, y, from, to, width, tiles + width, tiles + 2 * width)
        KNOWN(half, relu, SCALED);
    }
}

/* The gradients by x, weight and bias; arguments as in `norm_forward`. */
void norm_backward(int half, int relu, const void *x, const void *dy, void *dx, size_t rows, int c, const float *weight,
                   const float *bias, const float *mean, const float *inverse, float *grad_weight, float *grad_bias,
                   float *scratch, int threads) {
    size_t width = (size_t)TOGETHER * c, groups = rows / TOGETHER;
    float scale[c], shift[c], of_x[c], constant[c], tiles[5 * width];
    double first[c], second[c];
    for (int i = 0; i < c; i++) {
        scale[i] = weight[i] * inverse[i];
        shift[i] = bias[i] - mean[i] * scale[i];
    }
    tile(mean, c, tiles);
    tile(scale, c, tiles + width);
    tile(shift, c, tiles + 2 * width);
    columns at = {tiles, tiles + width, tiles + 2 * width};
    sums(half, relu, x, dy, rows, c, at, scratch, first, second, threads);
    for (int i = 0; i < c; i++) { /* dx = scale · (g − Σg/n − (x − mean) · inverse² · Σg(x − mean)/n) */
        grad_bias[i] = first[i];
        grad_weight[i] = second[i] * inverse[i];
        of_x[i] = -scale[i] * inverse[i] * inverse[i] * second[i] / rows;
        constant[i] = -scale[i] * first[i] / rows - of_x[i] * mean[i];
    }
    tile(of_x, c, tiles + 3 * width);
    tile(constant, c, tiles + 4 * width);
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int part = 0; part < threads; part++) {
        size_t from = groups * part / threads, to = groups * (part + 1) / threads;
#define GRADIENTS(half, relu) gradients(half, relu, x, dy, dx, from, to, width, at, tiles + 3 * width, tiles + 4 * width)
        KNOWN(half, relu, GRADIENTS);
    }
}
