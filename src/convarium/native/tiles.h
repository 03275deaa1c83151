/* The tiles of Winograd's filtering: where their pixels lie, and Bᵀ, Aᵀ and A by which they are transformed. */

#include "vectors.h"

#define OUT 4  /* outputs of a tile along a side */
#define MOST 8 /* inputs along it */

typedef struct {
    int images, height, width, channels;
} shape;

static const float POWER[3][OUT] = {{1, 1, 1, 1}, {1, 2, 4, 8}, {1, 0.5, 0.25, 0.125}}; /* of 1, 2 and ½ */

/* Bᵀd; in all three the results lie `out` apart */
INLINE void of_input(const int side, const vec *d, vec *t, int out) {
    vec even[3], odd[3];
    if (side == 6) {
        t[0] = 4 * d[0] - 5 * d[2] + d[4];
        even[0] = d[4] - 4 * d[2], odd[0] = d[3] - 4 * d[1];
        even[1] = d[4] - d[2], odd[1] = 2 * (d[3] - d[1]);
        t[5 * out] = 4 * d[1] - 5 * d[3] + d[5];
    } else {
        t[0] = d[0] - d[6] + 5.25f * (d[4] - d[2]);
        even[0] = d[2] + d[6] - 4.25f * d[4], odd[0] = d[1] + d[5] - 4.25f * d[3];
        even[1] = 0.25f * d[2] - 1.25f * d[4] + d[6], odd[1] = 0.5f * d[1] - 2.5f * d[3] + 2 * d[5];
        even[2] = 4 * d[2] - 5 * d[4] + d[6], odd[2] = 2 * d[1] - 2.5f * d[3] + 0.5f * d[5];
        t[7 * out] = d[7] - d[1] + 5.25f * (d[3] - d[5]);
    }
#pragma GCC unroll 3
    for (int p = 0; p < side / 2 - 1; p++) {
        t[(2 * p + 1) * out] = even[p] + odd[p];
        t[(2 * p + 2) * out] = even[p] - odd[p];
    }
}

/* Aᵀm */
INLINE void of_product(const int side, const vec *d, vec *y, int out) {
#pragma GCC unroll 4
    for (int i = 0; i < OUT; i++) {
        vec sum = i == 0 ? d[0] : i == OUT - 1 ? d[side - 1] : (vec){0};
#pragma GCC unroll 3
        for (int p = 0; p < side / 2 - 1; p++)
            sum += POWER[p][i] * (i % 2 ? d[2 * p + 1] - d[2 * p + 2] : d[2 * p + 1] + d[2 * p + 2]);
        y[i * out] = sum;
    }
}

/* A y, the adjoint of `of_product` */
INLINE void of_gradient(const int side, const vec *y, vec *t, int out) {
    t[0] = y[0];
#pragma GCC unroll 3
    for (int p = 0; p < side / 2 - 1; p++) {
        vec even = y[0] + POWER[p][2] * y[2], odd = POWER[p][1] * y[1] + POWER[p][3] * y[3];
        t[(2 * p + 1) * out] = even + odd;
        t[(2 * p + 2) * out] = even - odd;
    }
    t[(side - 1) * out] = y[OUT - 1];
}

/* Where the pixels of a square lie; those outside of the image are `zeros`. */
INLINE void square(const float *x, shape s, int n, int top, int left, const int side, const float *zeros,
                   const float **at) {
    const float *first = x + (((ptrdiff_t)n * s.height + top) * s.width + left) * s.channels;
    int whole = n < s.images && top >= 0 && left >= 0 && top + side <= s.height && left + side <= s.width;
    for (int i = 0; i < side; i++)
        for (int j = 0; j < side; j++) {
            int h = top + i, w = left + j;
            int inside = whole || (n < s.images && h >= 0 && h < s.height && w >= 0 && w < s.width);
            at[i * side + j] = inside ? first + ((ptrdiff_t)i * s.width + j) * s.channels : zeros;
        }
}

/* A square's pixels, transformed on both sides and spread over the points, `point` numbers apart: of an input, or of the
   gradient of the outputs. */
INLINE void spread(const int side, const int gradient, const float **at, int channels, float *out, size_t point) {
    const int width = gradient ? OUT : side;
    for (int c = 0; c < channels; c += LANES) {
        vec d[MOST], t[MOST * MOST];
#pragma GCC unroll 8
        for (int j = 0; j < width; j++) {
#pragma GCC unroll 8
            for (int i = 0; i < width; i++) {
                d[i] = load(at[i * width + j] + c);
                __builtin_prefetch(at[i * width + j] + c + OUT * channels); /* of the next tile */
            }
            if (gradient)
                of_gradient(side, d, t + j, MOST);
            else
                of_input(side, d, t + j, MOST);
        }
#pragma GCC unroll 8
        for (int i = 0; i < side; i++) {
            if (gradient)
                of_gradient(side, t + i * MOST, d, 1);
            else
                of_input(side, t + i * MOST, d, 1);
            for (int j = 0; j < side; j++) store(out + (i * side + j) * point + c, d[j]);
        }
    }
}

/* Back from the points to 4×4 outputs and fewer at the edges, with the bias. */
INLINE void gather(const int side, const float *in, size_t point, const float *bias, float *y, shape s, int n, int top,
                   int left) {
    int rows = s.height - top < OUT ? s.height - top : OUT, columns = s.width - left < OUT ? s.width - left : OUT;
    float *at = y + (((size_t)n * s.height + top) * s.width + left) * s.channels;
    for (int k = 0; k < s.channels; k += LANES) {
        vec d[MOST], t[OUT * MOST], u[OUT], b = load(bias + k);
#pragma GCC unroll 8
        for (int j = 0; j < side; j++) {
#pragma GCC unroll 8
            for (int i = 0; i < side; i++) d[i] = load(in + (i * side + j) * point + k);
            of_product(side, d, t + j, MOST);
        }
        for (int i = 0; i < rows; i++) {
            of_product(side, t + i * MOST, u, 1);
            for (int j = 0; j < columns; j++) store(at + ((size_t)i * s.width + j) * s.channels + k, u[j] + b);
        }
    }
}
