/* Products of matrices in bfloat16 by a processor's unit for them (AMX), which has eight registers of 16 × 16 words.
   Without such a unit the same is computed in plain C, for tests alone.

   A word is a pair of numbers that are neighbours in the sum. DOT adds to float32 sums (outputs, other outputs) the products
   of a left matrix (outputs, pairs) and a right one (pairs, other outputs). */

#include "pairs.h"
#ifdef __AMX_BF16__
#include <immintrin.h>
#endif

#define SIDE 16             /* of a matrix */
#define WORDS (SIDE * SIDE) /* a kilobyte */

INLINE int blocks(int numbers) { return (numbers + SIDE - 1) / SIDE; }

/* What is in memory is there before what follows; not every compiler knows that its functions for matrices read it. */
#define WRITTEN __asm__ volatile("" ::: "memory")

#ifdef __AMX_BF16__
/* A register is named by a constant; rows of a matrix lie so many words apart. */
#define LOAD(i, from, apart) _tile_loadd(i, from, 4 * (apart))
#define STORE(i, to, apart) _tile_stored(i, to, 4 * (apart))
#define DOT(sum, left, right) _tile_dpbf16ps(sum, left, right)
#define ZERO(i) _tile_zero(i)

typedef struct {
    uint8_t palette, start, none[14];
    uint16_t width[16];
    uint8_t height[16];
} units;

/* This thread's registers, set up; whoever had them set up otherwise goes on with that after `give_back`. */
INLINE units take_units(void) {
    units before, own = {.palette = 1};
    for (int i = 0; i < 8; i++) own.width[i] = 4 * SIDE, own.height[i] = SIDE;
    _tile_storeconfig(&before);
    WRITTEN;
    _tile_loadconfig(&own);
    return before;
}

INLINE void give_back(units before) {
    if (before.palette) {
        WRITTEN;
        _tile_loadconfig(&before);
    } else
        _tile_release();
}
#else
static _Thread_local uint32_t registers[8][WORDS];

static void load_register(uint32_t *to, const void *from, size_t apart) {
    for (int i = 0; i < SIDE; i++) memcpy(to + i * SIDE, (const uint32_t *)from + i * apart, 4 * SIDE);
}

static void store_register(const uint32_t *from, void *to, size_t apart) {
    for (int i = 0; i < SIDE; i++) memcpy((uint32_t *)to + i * apart, from + i * SIDE, 4 * SIDE);
}

static void dot_registers(uint32_t *sums, const uint32_t *left, const uint32_t *right) {
    for (int i = 0; i < SIDE; i++)
        for (int pair = 0; pair < SIDE; pair++)
            for (int j = 0; j < SIDE; j += LANES) {
                float *sum = (float *)sums + i * SIDE + j;
                store(sum, dot(load(sum), load_words(right + pair * SIDE + j), left[i * SIDE + pair]));
            }
}

#define LOAD(i, from, apart) load_register(registers[i], from, apart)
#define STORE(i, to, apart) store_register(registers[i], to, apart)
#define DOT(sum, left, right) dot_registers(registers[sum], registers[left], registers[right])
#define ZERO(i) memset(registers[i], 0, sizeof registers[i])

typedef int units;

INLINE units take_units(void) { return 0; }

INLINE void give_back(units before) { (void)before; }
#endif

/* Words of a matrix that lies in one piece, rows for columns. */
INLINE void transpose(uint32_t *m) {
#if LANES == SIDE
    words row[SIDE];
    for (int i = 0; i < SIDE; i++) row[i] = load_words(m + i * SIDE);
#pragma GCC unroll 4
    for (int apart = 1; apart < SIDE; apart *= 2) {
        words low, high;
        for (int j = 0; j < SIDE; j++) {
            low[j] = j & apart ? SIDE + j - apart : j;
            high[j] = j & apart ? SIDE + j : j + apart;
        }
#pragma GCC unroll 16
        for (int i = 0; i < SIDE; i++)
            if (!(i & apart)) {
                words a = row[i], b = row[i + apart];
                row[i] = __builtin_shuffle(a, b, low);
                row[i + apart] = __builtin_shuffle(a, b, high);
            }
    }
    for (int i = 0; i < SIDE; i++) *(words_anywhere *)(m + i * SIDE) = row[i];
#else
    for (int i = 0; i < SIDE; i++)
        for (int j = 0; j < i; j++) {
            uint32_t word = m[i * SIDE + j];
            m[i * SIDE + j] = m[j * SIDE + i];
            m[j * SIDE + i] = word;
        }
#endif
}

/* A row of words (low, high) of two rows of numbers. */
INLINE void pair_vectors(halves a, halves b, uint32_t *to) {
    words low = __builtin_convertvector(a, words), high = __builtin_convertvector(b, words);
    *(words_anywhere *)to = low | high << 16;
}
