/* The gradient by the weights of a convolution in bfloat16 by units for matrices: sums over 32 images at once, of 16
   outputs by 16 inputs, for one pixel and one tap.

   Gradients are left matrices (outputs, pairs of images), images right ones (pairs of images, inputs). At every pixel
   there is one for each 16 channels; what channels and images are missing are zeros. */

#include "units.h"
#ifdef __AMX_BF16__
#include <sys/syscall.h>
#include <unistd.h>
#endif

#define IMAGES (2 * SIDE) /* at once */
#define STRIP (1 << 20)   /* bytes of matrices at once: they stay in a core's second cache */
#define AT_ONCE 6         /* sums in registers, for one row of matrices */

/* Parts of the sum, always as many, so that it does not depend on the threads: shares of the groups of images, by bands
   of rows. */
typedef struct {
    int groups, shares, bands, rows; /* rows: of outputs at once */
    size_t line, dy_line;    /* words of a line of matrices */
} division;

static division divided(layer l) {
    division d;
    d.groups = (l.n + IMAGES - 1) / IMAGES;
    d.shares = smaller(d.groups, PARTS);
    d.bands = smaller((PARTS + d.shares - 1) / d.shares, l.oh);
    d.line = (size_t)(l.w + 2 * l.padding) * blocks(l.c) * WORDS;
    d.dy_line = (size_t)l.ow * blocks(l.k) * WORDS;
    long room = STRIP / 4 - (long)(l.side - l.stride) * d.line, row = l.stride * d.line + d.dy_line;
    d.rows = room < row ? 1 : smaller(room / row, (l.oh + d.bands - 1) / d.bands);
    return d;
}

static size_t lines(layer l, division d) { return (size_t)(d.rows - 1) * l.stride + l.side; }

static size_t of_sums(layer l) { return (size_t)blocks(l.k) * l.side * l.side * blocks(l.c) * WORDS; }

size_t matrix_scratch(int n, int h, int w, int c, int oh, int ow, int k, int side, int stride, int padding, int threads) {
    layer l = {n, h, w, c, oh, ow, k, side, stride, padding};
    division d = divided(l);
    size_t strips = threads * (lines(l, d) * d.line + d.rows * d.dy_line);
    return 4 * (d.shares * d.bands * of_sums(l) + strips) + 64;
}

/* Whether there is such a unit, and the system lets this process have it. */
int matrix_pays(void) {
#ifdef __AMX_BF16__
    enum { REQUEST = 0x1023, TILES = 18 }; /* of arch_prctl */
    return syscall(SYS_arch_prctl, REQUEST, TILES) == 0;
#else
    return 0;
#endif
}

INLINE void pair(const uint16_t *a, const uint16_t *b, uint32_t *to) {
    for (int j = 0; j < SIDE; j += LANES) pair_vectors(*(const halves *)(a + j), *(const halves *)(b + j), to + j);
}

/* A line (w, c) of each of so many images, which lie so far apart, as matrices (pairs, channels) of every pixel. */
static void pair_line(const uint16_t *x, int images, size_t apart, int w, int c, int padding, uint32_t *to) {
    int many = blocks(c);
    size_t around = (size_t)padding * many * WORDS;
    memset(to, 0, 4 * around);
    to += around;
    memset(to + (size_t)w * many * WORDS, 0, 4 * around);
    for (int i = 0; i < SIDE; i++, to += SIDE) {
        const uint16_t *a = x + 2 * i * apart, *b = a + apart;
        int there = images - 2 * i; /* of the two */
        if (there > 1 && c % SIDE == 0)
            for (size_t block = 0; block < (size_t)w * many; block++, a += SIDE, b += SIDE) {
                __builtin_prefetch(a + 2 * apart); /* the next pair, which no processor foresees */
                __builtin_prefetch(b + 2 * apart);
                pair(a, b, to + block * WORDS);
            }
        else
            for (size_t block = 0; block < (size_t)w * many; block++) {
                size_t first = block % many * SIDE, at = block / many * c + first;
                uint16_t both[2][SIDE] = {0};
                size_t left = 2 * smaller(c - first, SIDE);
                if (there > 0) memcpy(both[0], a + at, left);
                if (there > 1) memcpy(both[1], b + at, left);
                pair(both[0], both[1], to + block * WORDS);
            }
    }
}

/* Where the matrices of a strip lie: words from pixel to pixel and from row to row. */
typedef struct {
    int rows, columns;
    size_t x_step, x_row, dy_step, dy_row;
} strip;

/* Adds to so many sums of a row of matrices the products of gradients with images, which lie so far from each pixel's. */
static void add_row(strip s, const uint32_t *dy, const uint32_t *x, const size_t *offset, int many, float *sums) {
#define EACH(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5)
#define TAKE(i) if (many > i) LOAD(i, sums + i * WORDS, SIDE);
#define ADD(i) if (many > i) { LOAD(7, b + offset[i], SIDE); DOT(i, 6, 7); }
#define GIVE(i) if (many > i) STORE(i, sums + i * WORDS, SIDE);
    WRITTEN;
    EACH(TAKE)
    for (int row = 0; row < s.rows; row++) {
        const uint32_t *a = dy + row * s.dy_row, *b = x + row * s.x_row;
        for (int column = 0; column < s.columns; column++, a += s.dy_step, b += s.x_step) {
            LOAD(6, a, SIDE);
            EACH(ADD)
        }
    }
    EACH(GIVE)
    WRITTEN;
}

/* Likewise to two sums in each of two rows of matrices, so that every matrix is used twice. */
static void add_square(strip s, const uint32_t *dy, const uint32_t *x, const size_t *offset, float *sums, float *below) {
    WRITTEN;
    LOAD(0, sums, SIDE);
    LOAD(1, sums + WORDS, SIDE);
    LOAD(2, below, SIDE);
    LOAD(3, below + WORDS, SIDE);
    for (int row = 0; row < s.rows; row++) {
        const uint32_t *a = dy + row * s.dy_row, *b = x + row * s.x_row + offset[0], *c = x + row * s.x_row + offset[1];
        for (int column = 0; column < s.columns; column++, a += s.dy_step, b += s.x_step, c += s.x_step) {
            LOAD(4, a, SIDE);
            LOAD(6, b, SIDE);
            DOT(0, 4, 6);
            LOAD(5, a + WORDS, SIDE);
            DOT(2, 5, 6);
            LOAD(7, c, SIDE);
            DOT(1, 4, 7);
            DOT(3, 5, 7);
        }
    }
    STORE(0, sums, SIDE);
    STORE(1, sums + WORDS, SIDE);
    STORE(2, below, SIDE);
    STORE(3, below + WORDS, SIDE);
    WRITTEN;
}

/* Of a strip all sums (outputs, taps, inputs), by matrices. */
static void add_all(layer l, strip s, const uint32_t *dy, const uint32_t *x, float *sums) {
    int inputs = blocks(l.c), outputs = blocks(l.k), columns = l.side * l.side * inputs;
    size_t offset[AT_ONCE];
    for (int output = 0, both; output < outputs; output += 1 + both) {
        both = output + 1 < outputs;
        for (int first = 0, many; first < columns; first += many) {
            int left = columns - first, most = both ? 2 : AT_ONCE;
            many = left < most ? left : most;
            for (int i = 0; i < many; i++) {
                int tap = (first + i) / inputs, input = (first + i) % inputs;
                offset[i] = ((size_t)(tap / l.side) * (l.w + 2 * l.padding) + tap % l.side) * inputs * WORDS + input * WORDS;
            }
            float *sum = sums + ((size_t)output * columns + first) * WORDS;
            const uint32_t *of_dy = dy + output * WORDS;
            if (both && many == 2)
                add_square(s, of_dy, x, offset, sum, sum + (size_t)columns * WORDS);
            else
                for (int i = 0; i <= both; i++)
                    add_row(s, of_dy + i * WORDS, x, offset, many, sum + (size_t)i * columns * WORDS);
        }
    }
}

/* The matrices of a group of images for so many rows of outputs. */
static strip prepare(layer l, division d, const uint16_t *x, const uint16_t *dy, int group, int row, int rows, uint32_t *of_x,
                     uint32_t *of_dy) {
    size_t one = (size_t)l.h * l.w * l.c, other = (size_t)l.oh * l.ow * l.k;
    int first = group * IMAGES, images = smaller(l.n - first, IMAGES);
    for (int line = 0; line < (rows - 1) * l.stride + l.side; line++, of_x += d.line) {
        int from = row * l.stride - l.padding + line;
        if (line % l.stride >= l.side) continue; /* no tap meets it */
        if (from < 0 || from >= l.h)
            memset(of_x, 0, 4 * d.line);
        else
            pair_line(x + first * one + (size_t)from * l.w * l.c, images, one, l.w, l.c, l.padding, of_x);
    }
    for (int i = 0; i < rows; i++, of_dy += d.dy_line) {
        pair_line(dy + first * other + (size_t)(row + i) * l.ow * l.k, images, other, l.ow, l.k, 0, of_dy);
        for (size_t at = 0; at < d.dy_line; at += WORDS) transpose(of_dy + at);
    }
    return (strip){rows, l.ow, (size_t)l.stride * blocks(l.c) * WORDS, l.stride * d.line, blocks(l.k) * WORDS, d.dy_line};
}

/* x (n, h, w, c) and dy (n, oh, ow, k) → the gradient (k, side, side, c) by the weights. */
void matrix_by_weights(const uint16_t *x, const uint16_t *dy, float *gradient, int n, int h, int w, int c, int oh, int ow,
                       int k, int side, int stride, int padding, float *scratch, int threads) {
    layer l = {n, h, w, c, oh, ow, k, side, stride, padding};
    division d = divided(l);
    size_t each = of_sums(l);
    float *sums = (float *)(((uintptr_t)scratch + 63) & ~(uintptr_t)63);
    int parts = d.shares * d.bands, inputs = blocks(c), taps = side * side;
    uint32_t *strips = (uint32_t *)(sums + parts * each);
#pragma omp parallel num_threads(threads)
    {
        uint32_t *of_x = strips + omp_get_thread_num() * (lines(l, d) * d.line + d.rows * d.dy_line);
        uint32_t *of_dy = of_x + lines(l, d) * d.line;
        units before = take_units();
#pragma omp for schedule(static)
        for (int part = 0; part < parts; part++) {
            int share = part / d.bands, band = part % d.bands;
            memset(sums + part * each, 0, 4 * each);
            for (int group = d.groups * share / d.shares; group < d.groups * (share + 1) / d.shares; group++)
                for (int row = oh * band / d.bands, to = oh * (band + 1) / d.bands, here; row < to; row += here) {
                    here = smaller(d.rows, to - row);
                    strip s = prepare(l, d, x, dy, group, row, here, of_x, of_dy);
                    add_all(l, s, of_dy, of_x, sums + part * each);
                }
        }
        give_back(before);
#pragma omp for schedule(static)
        for (int output = 0; output < k; output++)
            for (int block = 0; block < taps * inputs; block++) {
                int input = block % inputs * SIDE;
                size_t at = ((size_t)(output / SIDE) * taps * inputs + block) * WORDS + output % SIDE * SIDE;
                float sum[SIDE] = {0};
                for (int part = 0; part < parts; part++)
                    for (int i = 0; i < SIDE; i++) sum[i] += sums[part * each + at + i];
                memcpy(gradient + ((size_t)output * taps + block / inputs) * c + input, sum, 4 * smaller(SIDE, c - input));
            }
    }
}
