/* The transforms of Winograd's filtering F(4×4, 3×3): Bᵀ, Aᵀ and A, and the ways from images to points and back. */

#include "vectors.h"
#include <string.h>

#define POINTS 6  /* along a side of a tile of inputs; the polynomials are evaluated at 0, ±1, ±2 and ∞ */
#define OUTPUTS 4 /* along a side of a tile of outputs, and from one tile of inputs to the next */

typedef struct {
    int images, height, width, channels;
} shape;

/* The tiles of a batch, down and across each image, and the width in pixels of a strip of inputs. */
typedef struct {
    int down, across, all, width;
} grid;

static grid grid_of(shape out) {
    int down = (out.height + OUTPUTS - 1) / OUTPUTS, across = (out.width + OUTPUTS - 1) / OUTPUTS;
    return (grid){down, across, out.images * down * across, across * OUTPUTS + POINTS - OUTPUTS};
}

/* t = Bᵀd: from 6 inputs to 6 points. */
INLINE void transform_input(const vec *d, vec *t) {
    vec even = d[4] - 4 * d[2], odd = d[3] - 4 * d[1], even2 = d[4] - d[2], odd2 = 2 * (d[3] - d[1]);
    t[0] = 4 * d[0] - 5 * d[2] + d[4];
    t[1] = even + odd;
    t[2] = even - odd;
    t[3] = even2 + odd2;
    t[4] = even2 - odd2;
    t[5] = 4 * d[1] - 5 * d[3] + d[5];
}

/* y = Aᵀm: from 6 points to 4 outputs. */
INLINE void transform_output(const vec *m, vec *y) {
    vec sum = m[1] + m[2], difference = m[1] - m[2], sum2 = m[3] + m[4], difference2 = m[3] - m[4];
    y[0] = m[0] + sum + sum2;
    y[1] = difference + 2 * difference2;
    y[2] = sum + 4 * sum2;
    y[3] = m[5] + difference + 8 * difference2;
}

/* t = A y, the adjoint of `transform_output`: from 4 gradients to 6 points. */
INLINE void transform_gradient(const vec *y, vec *t) {
    vec even = y[0] + y[2], odd = y[1] + y[3], even2 = y[0] + 4 * y[2], odd2 = 2 * y[1] + 8 * y[3];
    t[0] = y[0];
    t[1] = even + odd;
    t[2] = even - odd;
    t[3] = even2 + odd2;
    t[4] = even2 - odd2;
    t[5] = y[3];
}

INLINE void transform(const int gradient, const vec *in, vec *t) {
    if (gradient)
        transform_gradient(in, t);
    else
        transform_input(in, t);
}

/* Transform the lines of an image from `top` on vertically into a strip of 6 lines, once for all tiles beside each other,
   which overlap. A strip is `width` pixels wide, of which `left`, those to the right of the image, and lines outside of it
   are zeros. `gradient`: 4 lines of gradients, otherwise 6 lines of inputs. */
INLINE void make_strip(const int gradient, const float *x, shape s, int n, int top, int left, int width,
                       const float *zeros, float *strip) {
    const int high = gradient ? OUTPUTS : POINTS;
    const float *from[POINTS];
    size_t line = (size_t)width * s.channels, before = (size_t)left * s.channels, inside = (size_t)s.width * s.channels;
    for (int i = 0; i < high; i++) {
        int h = top + i;
        from[i] = h >= 0 && h < s.height ? x + ((size_t)n * s.height + h) * s.width * s.channels : zeros;
    }
    for (int i = 0; i < POINTS; i++) {
        memset(strip + i * line, 0, sizeof(float) * before);
        memset(strip + i * line + before + inside, 0, sizeof(float) * (line - before - inside));
    }
    for (size_t j = 0; j < inside; j += LANES) {
        vec d[POINTS], t[POINTS];
#pragma GCC unroll 6
        for (int i = 0; i < high; i++) {
            d[i] = load(from[i] + j);
            if (i >= high - OUTPUTS) __builtin_prefetch(from[i] + j + OUTPUTS * inside); /* lines of the next strip */
        }
        transform(gradient, d, t);
#pragma GCC unroll 6
        for (int i = 0; i < POINTS; i++) store(strip + i * line + before + j, t[i]);
    }
}

/* Transform a tile of a strip horizontally and write its 6×6 points, `point` numbers apart. */
INLINE void spread(const int gradient, const float *strip, size_t line, int channels, float *out, size_t point) {
    const int width = gradient ? OUTPUTS : POINTS;
    for (int c = 0; c < channels; c += LANES)
        for (int i = 0; i < POINTS; i++) {
            vec d[POINTS], t[POINTS];
#pragma GCC unroll 6
            for (int j = 0; j < width; j++) d[j] = load(strip + i * line + j * channels + c);
            transform(gradient, d, t);
#pragma GCC unroll 6
            for (int j = 0; j < POINTS; j++) store(out + (i * POINTS + j) * point + c, t[j]);
        }
}

/* Transform 6×6 points back, add the bias, and write the first `rows` × `columns` of 4×4 outputs. */
INLINE void gather(const int rows, const int columns, const float *in, size_t point, const float *bias, float *y,
                   size_t line, int channels) {
    for (int k = 0; k < channels; k += LANES) {
        vec d[POINTS], t[OUTPUTS][POINTS], u[OUTPUTS], b = load(bias + k);
#pragma GCC unroll 6
        for (int i = 0; i < POINTS; i++) {
#pragma GCC unroll 6
            for (int j = 0; j < POINTS; j++) d[j] = load(in + (i * POINTS + j) * point + k);
            transform_output(d, u);
#pragma GCC unroll 4
            for (int j = 0; j < OUTPUTS; j++) t[j][i] = u[j];
        }
#pragma GCC unroll 4
        for (int j = 0; j < columns; j++) {
            transform_output(t[j], u);
#pragma GCC unroll 4
            for (int i = 0; i < rows; i++) {
                store(y + i * line + j * channels + k, u[i] + b);
                __builtin_prefetch(y + i * line + (j + OUTPUTS) * channels + k, 1); /* outputs of the next tile */
            }
        }
    }
}
