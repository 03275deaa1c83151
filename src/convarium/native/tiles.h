/* The tiles of Winograd's filtering: Bᵀ, Aᵀ and A, and the ways from images to points and back. */

#include "vectors.h"
#include <string.h>

#define OUT 4  /* outputs of a tile along a side */
#define MOST 8 /* inputs along it */

typedef struct {
    int images, height, width, channels;
} shape;

static const float POWER[3][OUT] = {{1, 1, 1, 1}, {1, 2, 4, 8}, {1, 0.5, 0.25, 0.125}}; /* of 1, 2 and ½ */

/* Bᵀd */
INLINE void of_input(const int side, const vec *d, vec *t) {
    vec even[3], odd[3];
    if (side == 6) {
        t[0] = 4 * d[0] - 5 * d[2] + d[4];
        even[0] = d[4] - 4 * d[2], odd[0] = d[3] - 4 * d[1];
        even[1] = d[4] - d[2], odd[1] = 2 * (d[3] - d[1]);
        t[5] = 4 * d[1] - 5 * d[3] + d[5];
    } else {
        t[0] = d[0] - d[6] + 5.25f * (d[4] - d[2]);
        even[0] = d[2] + d[6] - 4.25f * d[4], odd[0] = d[1] + d[5] - 4.25f * d[3];
        even[1] = 0.25f * d[2] - 1.25f * d[4] + d[6], odd[1] = 0.5f * d[1] - 2.5f * d[3] + 2 * d[5];
        even[2] = 4 * d[2] - 5 * d[4] + d[6], odd[2] = 2 * d[1] - 2.5f * d[3] + 0.5f * d[5];
        t[7] = d[7] - d[1] + 5.25f * (d[3] - d[5]);
    }
#pragma GCC unroll 3
    for (int p = 0; p < side / 2 - 1; p++) {
        t[2 * p + 1] = even[p] + odd[p];
        t[2 * p + 2] = even[p] - odd[p];
    }
}

/* Aᵀm */
INLINE void of_product(const int side, const vec *d, vec *y) {
#pragma GCC unroll 4
    for (int i = 0; i < OUT; i++) {
        vec sum = i == 0 ? d[0] : i == OUT - 1 ? d[side - 1] : (vec){0};
#pragma GCC unroll 3
        for (int p = 0; p < side / 2 - 1; p++)
            sum += POWER[p][i] * (i % 2 ? d[2 * p + 1] - d[2 * p + 2] : d[2 * p + 1] + d[2 * p + 2]);
        y[i] = sum;
    }
}

/* A y, the adjoint of `of_product` */
INLINE void of_gradient(const int side, const vec *y, vec *t) {
    t[0] = y[0];
#pragma GCC unroll 3
    for (int p = 0; p < side / 2 - 1; p++) {
        vec even = y[0] + POWER[p][2] * y[2], odd = POWER[p][1] * y[1] + POWER[p][3] * y[3];
        t[2 * p + 1] = even + odd;
        t[2 * p + 2] = even - odd;
    }
    t[side - 1] = y[OUT - 1];
}

/* The lines of an image from `top` on, transformed downwards into the `side` lines of a strip, once for all of the tiles
   beside each other, which overlap. A strip is `width` pixels wide, of which `left` and what is over are zeros, as are
   lines outside of the image. */
INLINE void strip_of(const int side, const int gradient, const float *x, shape s, int n, int top, int left, int width,
                     const float *zeros, float *strip) {
    const int high = gradient ? OUT : side;
    const float *from[MOST];
    size_t line = (size_t)width * s.channels, before = (size_t)left * s.channels, inside = (size_t)s.width * s.channels;
    for (int i = 0; i < high; i++) {
        int h = top + i;
        from[i] = h >= 0 && h < s.height ? x + ((size_t)n * s.height + h) * inside : zeros;
    }
    for (int i = 0; i < side; i++) {
        memset(strip + i * line, 0, sizeof(float) * before);
        memset(strip + i * line + before + inside, 0, sizeof(float) * (line - before - inside));
    }
    for (size_t j = 0; j < inside; j += LANES) {
        vec d[MOST], t[MOST];
#pragma GCC unroll 8
        for (int i = 0; i < high; i++) {
            d[i] = load(from[i] + j);
            if (i >= high - OUT) __builtin_prefetch(from[i] + j + OUT * inside); /* of the strip below */
        }
        if (gradient)
            of_gradient(side, d, t);
        else
            of_input(side, d, t);
#pragma GCC unroll 8
        for (int i = 0; i < side; i++) store(strip + i * line + before + j, t[i]);
    }
}

/* A tile of a strip, transformed across and spread over the points, `point` numbers apart. */
INLINE void spread(const int side, const int gradient, const float *strip, size_t line, int channels, float *out,
                   size_t point) {
    const int width = gradient ? OUT : side;
    for (int c = 0; c < channels; c += LANES)
        for (int i = 0; i < side; i++) {
            vec d[MOST], t[MOST];
#pragma GCC unroll 8
            for (int j = 0; j < width; j++) d[j] = load(strip + i * line + j * channels + c);
            if (gradient)
                of_gradient(side, d, t);
            else
                of_input(side, d, t);
#pragma GCC unroll 8
            for (int j = 0; j < side; j++) store(out + (i * side + j) * point + c, t[j]);
        }
}

/* Back from the points to so many outputs, with the bias. */
INLINE void gather(const int side, const int rows, const int columns, const float *in, size_t point, const float *bias,
                   float *y, size_t line, int channels) {
    for (int k = 0; k < channels; k += LANES) {
        vec d[MOST], t[OUT * MOST], u[OUT], b = load(bias + k);
#pragma GCC unroll 8
        for (int i = 0; i < side; i++) {
#pragma GCC unroll 8
            for (int j = 0; j < side; j++) d[j] = load(in + (i * side + j) * point + k);
            of_product(side, d, u);
#pragma GCC unroll 4
            for (int j = 0; j < OUT; j++) t[j * MOST + i] = u[j];
        }
#pragma GCC unroll 4
        for (int j = 0; j < columns; j++) {
            of_product(side, t + j * MOST, u);
#pragma GCC unroll 4
            for (int i = 0; i < rows; i++) {
                store(y + i * line + j * channels + k, u[i] + b);
                __builtin_prefetch(y + i * line + (j + OUT) * channels + k, 1);
            }
        }
    }
}
