/* The tiles of Winograd's filtering: Bᵀ, Aᵀ and A, and the ways from images to points and back. */

#include "vectors.h"
#include <string.h>

/* The filters: 3×3 and 5×5 at stride 1; 3×3 at stride 2, and its way back. With a stride every second input meets the outer
   taps, two, and those between them the middle one alone: five points, and four numbers that stay as they are. */
enum { THREE, FIVE, DOWN, UP };

static const struct {
    int points, inputs, step, outputs; /* of a tile along a side; `step`: from the first input to the next tile's */
    int kinds; /* points that differ in what they make of the taps; from the last of these on all are alike */
} TILE[] = {{6, 6, 4, 4, 6}, {8, 8, 4, 4, 8}, {9, 9, 8, 4, 6}, {9, 5, 4, 8, 6}};

#define MOST 9 /* points */

typedef struct {
    int images, height, width, channels;
} shape;

/* The tiles of a batch, down and across each image, and the pixels of a strip of inputs. */
typedef struct {
    int down, across, all, width;
} grid;

static grid grid_of(int filter, shape out) {
    const int outputs = TILE[filter].outputs, step = TILE[filter].step;
    int down = (out.height + outputs - 1) / outputs, across = (out.width + outputs - 1) / outputs;
    return (grid){down, across, out.images * down * across, across * step + TILE[filter].inputs - step};
}

/* A call with the filter as a constant, which an OpenMP region does not pass on to what is called inside of it. */
#define KNOWN(filter, CALL)                                                                                             \
    do                                                                                                                  \
        switch (filter) {                                                                                               \
        case THREE: CALL(THREE); break;                                                                                 \
        case FIVE: CALL(FIVE); break;                                                                                   \
        case DOWN: CALL(DOWN); break;                                                                                   \
        default: CALL(UP);                                                                                              \
        }                                                                                                               \
    while (0)

/* Of the points along a side: from which to which all make the same of the taps. */
#define FOR_LIKE(i, kind)                                                                                               \
    for (int i = kind; i < (kind == TILE[filter].kinds - 1 ? TILE[filter].points : kind + 1); i++)

static const float POWER[3][4] = {{1, 1, 1, 1}, {1, 2, 4, 8}, {1, 0.5, 0.25, 0.125}}; /* of 1, 2 and ½ */

/* Bᵀd of two taps: polynomials at 0, 1, −1, 2 and ∞ */
INLINE void of_pairs(vec a, vec b, vec c, vec d, vec e, vec *t) {
    t[0] = 2 * (a - c) + d - b;
    t[1] = d - c - 2 * b;
    t[2] = d - 3 * c + 2 * b;
    t[3] = d - b;
    t[4] = 2 * (b - d) + e - c;
}

/* Bᵀd */
INLINE void of_input(const int filter, const vec *d, vec *t) {
    const int side = TILE[filter].points, apart = TILE[filter].step / 4;
    vec even[3], odd[3];
    if (filter >= DOWN) {
        of_pairs(d[0], d[apart], d[2 * apart], d[3 * apart], d[4 * apart], t);
        for (int i = 0; i < 4; i++) t[5 + i] = d[filter == DOWN ? 2 * i + 1 : i];
        return;
    }
    if (filter == THREE) {
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
INLINE void of_product(const int filter, const vec *d, vec *y) {
    const int side = TILE[filter].points;
    if (filter >= DOWN) {
        vec sum = d[1] + d[2], difference = d[1] - d[2];
        vec pairs[4] = {d[0] + sum + d[3], difference + 2 * d[3], sum + 4 * d[3], difference + 8 * d[3] + d[4]};
        for (int i = 0; i < 4; i++)
            if (filter == DOWN)
                y[i] = pairs[i] + d[5 + i];
            else
                y[2 * i] = d[5 + i], y[2 * i + 1] = pairs[i];
        return;
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        vec sum = i == 0 ? d[0] : i == 3 ? d[side - 1] : (vec){0};
#pragma GCC unroll 3
        for (int p = 0; p < side / 2 - 1; p++)
            sum += POWER[p][i] * (i % 2 ? d[2 * p + 1] - d[2 * p + 2] : d[2 * p + 1] + d[2 * p + 2]);
        y[i] = sum;
    }
}

/* A y, the adjoint of `of_product` */
INLINE void of_gradient(const int filter, const vec *y, vec *t) {
    const int side = TILE[filter].points;
    t[0] = y[0];
    if (filter >= DOWN) { /* of UP nobody asks */
        vec even = y[0] + y[2], odd = y[1] + y[3];
        t[1] = even + odd, t[2] = even - odd, t[3] = y[0] + 2 * y[1] + 4 * y[2] + 8 * y[3], t[4] = y[3];
        for (int i = 0; i < 4; i++) t[5 + i] = y[i];
        return;
    }
#pragma GCC unroll 3
    for (int p = 0; p < side / 2 - 1; p++) {
        vec even = y[0] + POWER[p][2] * y[2], odd = POWER[p][1] * y[1] + POWER[p][3] * y[3];
        t[2 * p + 1] = even + odd;
        t[2 * p + 2] = even - odd;
    }
    t[side - 1] = y[3];
}

/* The lines of an image from `top` on, transformed downwards into as many lines of a strip as there are points, once for
   all of the tiles beside each other, which overlap. A strip is `width` pixels wide, of which `left` and what is over are
   zeros, as are lines outside of the image. */
INLINE void strip_of(const int filter, const int gradient, const float *x, shape s, int n, int top, int left, int width,
                     const float *zeros, float *strip) {
    const int side = TILE[filter].points, high = gradient ? TILE[filter].outputs : TILE[filter].inputs;
    const int step = gradient ? high : TILE[filter].step;
    const float *from[MOST];
    size_t line = (size_t)width * s.channels, before = (size_t)left * s.channels, inside = (size_t)s.width * s.channels;
    for (int i = 0; i < high; i++) {
        int h = top + i;
        from[i] = h >= 0 && h < s.height ? x + ((size_t)n * s.height + h) * s.width * s.channels : zeros;
    }
    for (int i = 0; i < side; i++) {
        memset(strip + i * line, 0, sizeof(float) * before);
        memset(strip + i * line + before + inside, 0, sizeof(float) * (line - before - inside));
    }
    for (size_t j = 0; j < inside; j += LANES) {
        vec d[MOST], t[MOST];
#pragma GCC unroll 9
        for (int i = 0; i < high; i++) {
            d[i] = load(from[i] + j);
            if (i >= high - step) __builtin_prefetch(from[i] + j + step * inside); /* of the strip below */
        }
        if (gradient)
            of_gradient(filter, d, t);
        else
            of_input(filter, d, t);
#pragma GCC unroll 9
        for (int i = 0; i < side; i++) store(strip + i * line + before + j, t[i]);
    }
}

/* A tile of a strip, transformed across and spread over the points, `point` numbers apart. */
INLINE void spread(const int filter, const int gradient, const float *strip, size_t line, int channels, float *out,
                   size_t point) {
    const int side = TILE[filter].points, width = gradient ? TILE[filter].outputs : TILE[filter].inputs;
    for (int c = 0; c < channels; c += LANES)
        for (int i = 0; i < side; i++) {
            vec d[MOST], t[MOST];
#pragma GCC unroll 9
            for (int j = 0; j < width; j++) d[j] = load(strip + i * line + j * channels + c);
            if (gradient)
                of_gradient(filter, d, t);
            else
                of_input(filter, d, t);
#pragma GCC unroll 9
            for (int j = 0; j < side; j++) store(out + (i * side + j) * point + c, t[j]);
        }
}

/* Back from the points to so many outputs, with the bias. */
INLINE void gather(const int filter, const int rows, const int columns, const float *in, size_t point, const float *bias,
                   float *y, size_t line, int channels) {
    const int side = TILE[filter].points, outputs = TILE[filter].outputs;
    for (int k = 0; k < channels; k += LANES) {
        vec d[MOST], t[8 * MOST], u[8], b = load(bias + k);
#pragma GCC unroll 9
        for (int i = 0; i < side; i++) {
#pragma GCC unroll 9
            for (int j = 0; j < side; j++) d[j] = load(in + (i * side + j) * point + k);
            of_product(filter, d, u);
#pragma GCC unroll 8
            for (int j = 0; j < outputs; j++) t[j * MOST + i] = u[j];
        }
#pragma GCC unroll 8
        for (int j = 0; j < columns; j++) {
            of_product(filter, t + j * MOST, u);
#pragma GCC unroll 8
            for (int i = 0; i < rows; i++) {
                store(y + i * line + j * channels + k, u[i] + b);
                __builtin_prefetch(y + i * line + (j + outputs) * channels + k, 1);
            }
        }
    }
}
