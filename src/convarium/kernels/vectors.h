/* Vectors of channels. Images lie as (n, h, w, c) in memory, so that neighbouring numbers are neighbouring channels. */

#include <omp.h>
#include <stddef.h>
#include <stdint.h>
#ifdef __AVX512BF16__
#include <immintrin.h>
#endif

#ifdef __AVX512F__
#define LANES 16
#else
#define LANES 8
#endif
#define INLINE static inline __attribute__((always_inline)) /* so that constant arguments are constants inside */

typedef float vec __attribute__((vector_size(4 * LANES)));
typedef uint32_t words __attribute__((vector_size(4 * LANES)));
typedef float vec_anywhere __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef uint32_t words_anywhere __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef uint16_t halves __attribute__((vector_size(2 * LANES), aligned(2), may_alias));

INLINE vec load(const float *p) { return *(const vec_anywhere *)p; }

INLINE void store(float *p, vec x) { *(vec_anywhere *)p = x; }

INLINE halves to_halves(vec x) { /* round to nearest, ties to even */
#ifdef __AVX512BF16__
    return (halves)_mm512_cvtneps_pbh((__m512)x);
#else
    words bits = (words)x, number = (words)(x == x);
    bits += 0x7fff + ((bits >> 16) & 1);
    return __builtin_convertvector(((bits & number) | (0x7fc00000 & ~number)) >> 16, halves);
#endif
}

/* Store the first `some` of a vector's numbers in bfloat16. */
INLINE void store_some(uint16_t *p, vec x, int some) {
    halves h = to_halves(x);
    if (some >= LANES)
        *(halves *)p = h;
    else
        for (int i = 0; i < some; i++) p[i] = h[i];
}

/* Load and store float32 numbers, or bfloat16 ones if `half`. */
INLINE vec load_at(const int half, const void *p, size_t i) {
    if (!half) return load((const float *)p + i);
    return (vec)(__builtin_convertvector(*(const halves *)((const uint16_t *)p + i), words) << 16);
}

INLINE void store_at(const int half, void *p, size_t i, vec x) {
    if (!half) {
        store((float *)p + i, x);
        return;
    }
    *(halves *)((uint16_t *)p + i) = to_halves(x);
}
