/* Vectors of channels. Images lie as (n, h, w, c) in memory, so that neighbouring numbers are neighbouring channels. */

#include <stddef.h>
#include <stdint.h>

#ifdef __AVX512F__
#define LANES 16
#else
#define LANES 8
#endif
#define INLINE static inline __attribute__((always_inline)) /* constant arguments are to become constants inside */

typedef float vec __attribute__((vector_size(4 * LANES)));
typedef uint32_t words __attribute__((vector_size(4 * LANES)));
typedef float vec_anywhere __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef uint16_t halves __attribute__((vector_size(2 * LANES), aligned(2), may_alias));

INLINE vec load(const float *p) { return *(const vec_anywhere *)p; }

INLINE void store(float *p, vec x) { *(vec_anywhere *)p = x; }
