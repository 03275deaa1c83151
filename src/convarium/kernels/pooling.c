/* The mean of 2×2 pixels of a sigmoid and the largest of 2×2 pixels of a ReLU, in one: what these give is neither written
   nor kept, nor is where the largest was; it is found again for the gradient. Numbers are float32 or bfloat16 and computed
   in float32.

   A pair of lines is (2, w/2, 2, c), a line of means (w/2, c). Both hold a vector at least; the last one of a line begins
   where it has room, over numbers that are there already. */

#include "vectors.h"

INLINE vec where(words mask, vec a, vec b) { return (vec)((mask & (words)a) | (~mask & (words)b)); }

/* 1 / (1 + exp(−x)) to 2e-7 of itself, from −87 on; what is no number stays so. */
INLINE vec sigmoid(vec x) {
    const vec zero = {0}, most = zero + 87;
    x = where((words)(x > most), -most, where((words)(x < -most), most, -x));
    /* exp(x) = 2^n · exp(r): n is rounded by a number whose last place is 1, r = x − n·ln 2 with ln 2 in two parts */
    const vec whole = zero + 0x1.8p23f;
    vec n = (x * 0x1.715476p0f + whole) - whole;
    vec r = x - n * 0x1.62e4p-1f - n * 0x1.7f7d1cp-20f;
    vec e = zero + 0x1.6c16c2p-10f; /* 1/6!, …, 1/2!, 1, 1 */
    e = e * r + 0x1.111112p-7f;
    e = e * r + 0x1.555556p-5f;
    e = e * r + 0x1.555556p-3f;
    e = e * r + 0.5f;
    e = e * r + 1;
    e = e * r + 1;
    words power = ((words)(n + (whole + 127)) << 23);
    return 1 / (1 + e * (vec)power);
}

/* Where the vector that begins at j of so many numbers does begin */
INLINE size_t begin(size_t j, size_t numbers) { return j + LANES <= numbers ? j : numbers - LANES; }

INLINE void means(const int half, const void *x, void *y, size_t from, size_t to, int w, int c) {
    size_t wide = (size_t)w * c, narrow = wide / 2;
    float sums[wide + LANES], halved[narrow + LANES];
    for (size_t line = from; line < to; line++) {
        for (size_t j = 0; j < wide; j += LANES) {
            size_t i = begin(j, wide), at = 2 * line * wide + i;
            store(sums + i, sigmoid(load_at(half, x, at)) + sigmoid(load_at(half, x, at + wide)));
        }
        /* What a vector has beyond a pixel's channels is written over by the next pixel's. */
        for (int pixel = 0; pixel < w / 2; pixel++)
            for (int j = 0; j < c; j += LANES) {
                const float *left = sums + 2 * pixel * c + j;
                store(halved + pixel * c + j, (load(left) + load(left + c)) * 0.25f);
            }
        for (size_t j = 0; j < narrow; j += LANES) {
            size_t i = begin(j, narrow);
            store_at(half, y, line * narrow + i, load(halved + i));
        }
    }
}

INLINE void gradients(const int half, const void *x, const void *dy, void *dx, size_t from, size_t to, int w, int c) {
    size_t wide = (size_t)w * c, narrow = wide / 2;
    float twice[wide + LANES], once[narrow + LANES];
    for (size_t line = from; line < to; line++) {
        for (size_t j = 0; j < narrow; j += LANES) {
            size_t i = begin(j, narrow);
            store(once + i, load_at(half, dy, line * narrow + i) * 0.25f);
        }
        for (int side = 0; side < w; side++)
            for (int j = 0; j < c; j += LANES) store(twice + side * c + j, load(once + side / 2 * c + j));
        for (int lower = 0; lower < 2; lower++)
            for (size_t j = 0; j < wide; j += LANES) {
                size_t i = begin(j, wide), at = (2 * line + lower) * wide + i;
                vec s = sigmoid(load_at(half, x, at));
                store_at(half, dx, at, load(twice + i) * s * (1 - s));
            }
    }
}

/* x (2·lines, w, c) → y (lines, w/2, c), w even and c·w/2 a vector at least. */
void sigmoid_means(int half, const void *x, void *y, size_t lines, int w, int c, int threads) {
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int part = 0; part < threads; part++) {
        size_t from = lines * part / threads, to = lines * (part + 1) / threads;
        if (half)
            means(1, x, y, from, to, w, c);
        else
            means(0, x, y, from, to, w, c);
    }
}

/* The gradient by x. */
void sigmoid_means_back(int half, const void *x, const void *dy, void *dx, size_t lines, int w, int c, int threads) {
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int part = 0; part < threads; part++) {
        size_t from = lines * part / threads, to = lines * (part + 1) / threads;
        if (half)
            gradients(1, x, dy, dx, from, to, w, c);
        else
            gradients(0, x, dy, dx, from, to, w, c);
    }
}

/* The largest of four numbers, the first one of equals; where there is one that is no number, the last such. */
typedef struct {
    vec of;
    words second, third, fourth; /* whether a later one took its predecessors' place */
} largest;

INLINE words exceeds(vec x, vec other) { return (words)(x > other) | (words)(x != x); }

INLINE largest largest_at(const int half, const void *x, size_t at, size_t c, size_t below) {
    largest l = {load_at(half, x, at)};
    vec second = load_at(half, x, at + c), third = load_at(half, x, at + below), fourth = load_at(half, x, at + below + c);
    l.second = exceeds(second, l.of);
    l.of = where(l.second, second, l.of);
    l.third = exceeds(third, l.of);
    l.of = where(l.third, third, l.of);
    l.fourth = exceeds(fourth, l.of);
    l.of = where(l.fourth, fourth, l.of);
    return l;
}

/* With dy their gradients, else what is largest. */
INLINE void maxima(const int half, const void *x, const void *dy, void *to, size_t from, size_t end, int w, int c) {
    size_t wide = (size_t)w * c, narrow = wide / 2;
    for (size_t line = from; line < end; line++)
        for (int pixel = 0; pixel < w / 2; pixel++)
            for (int j = 0; j < c; j += LANES) {
                size_t i = begin(j, c), at = 2 * line * wide + 2 * pixel * c + i, one = line * narrow + pixel * c + i;
                largest l = largest_at(half, x, at, c, wide);
                words positive = ~(words)(l.of <= 0);
                if (!dy) {
                    store_at(half, to, one, (vec)((words)l.of & positive));
                    continue;
                }
                words g = (words)load_at(half, dy, one) & positive, late = l.third | l.fourth;
                store_at(half, to, at, (vec)(g & ~(l.second | late)));
                store_at(half, to, at + c, (vec)(g & l.second & ~late));
                store_at(half, to, at + wide, (vec)(g & l.third & ~l.fourth));
                store_at(half, to, at + wide + c, (vec)(g & l.fourth));
            }
}

/* x (2·lines, w, c) → the largest (lines, w/2, c), w even and c a vector at least; or, with dy, the gradient by x. */
void relu_maxima(int half, const void *x, const void *dy, void *to, size_t lines, int w, int c, int threads) {
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int part = 0; part < threads; part++) {
        size_t from = lines * part / threads, end = lines * (part + 1) / threads;
        switch (2 * !!half + !!dy) {
        case 0: maxima(0, x, 0, to, from, end, w, c); break;
        case 1: maxima(0, x, dy, to, from, end, w, c); break;
        case 2: maxima(1, x, 0, to, from, end, w, c); break;
        default: maxima(1, x, dy, to, from, end, w, c);
        }
    }
}
