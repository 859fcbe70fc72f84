// Compiles the file named by ROCIT_LOOPS once a vector path, in namespaces rocit::portable, ::avx2 and ::avx512, each
// with vector.h for that path in front. ROCIT_DISPATCH(function, arguments) calls the one that rocit_path() chose. With
// ROCIT_BF16_PATH defined there is ::avx512_bf16 too, where ROCIT_PAIRS is 1; with ROCIT_AMX_PATH also ::amx_bf16, where
// ROCIT_AMX is 1 besides. Other files take the best that they have.
// No guard: one inclusion a source file. Standard headers must be included before, outside of the paths' flags.
#include <cstdint>
#include <cstring>

#include "machine.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define ROCIT_INLINE inline __attribute__((always_inline))

namespace rocit::portable {
#define ROCIT_WIDTH 4
#include "vector.h"
#include ROCIT_LOOPS
#undef ROCIT_WIDTH
}  // namespace rocit::portable

#if defined(__x86_64__)
#pragma GCC push_options
#pragma GCC target("avx2,fma")
namespace rocit::avx2 {
#define ROCIT_WIDTH 8
#include "vector.h"
#include ROCIT_LOOPS
#undef ROCIT_WIDTH
}  // namespace rocit::avx2
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")
namespace rocit::avx512 {
#define ROCIT_WIDTH 16
#include "vector.h"
#include ROCIT_LOOPS
#undef ROCIT_WIDTH
}  // namespace rocit::avx512
#pragma GCC pop_options

#if defined(ROCIT_BF16_PATH)
#pragma GCC push_options
#pragma GCC target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")
namespace rocit::avx512_bf16 {
#define ROCIT_WIDTH 16
#define ROCIT_PAIRS 1
#include "vector.h"
#include ROCIT_LOOPS
#undef ROCIT_PAIRS
#undef ROCIT_WIDTH
}  // namespace rocit::avx512_bf16
#pragma GCC pop_options
#define ROCIT_BEST_PATH avx512_bf16
#else
#define ROCIT_BEST_PATH avx512
#endif

#if defined(ROCIT_AMX_PATH)
#pragma GCC push_options
#pragma GCC target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,amx-tile,amx-bf16")
namespace rocit::amx_bf16 {
#define ROCIT_WIDTH 16
#define ROCIT_PAIRS 1
#define ROCIT_AMX 1
#include "vector.h"
#include ROCIT_LOOPS
#undef ROCIT_AMX
#undef ROCIT_PAIRS
#undef ROCIT_WIDTH
}  // namespace rocit::amx_bf16
#pragma GCC pop_options
#define ROCIT_TILES_PATH amx_bf16
#else
#define ROCIT_TILES_PATH ROCIT_BEST_PATH
#endif

#define ROCIT_DISPATCH(function, ...)                                                   \
  (rocit_path() == ROCIT_AMX_BF16    ? ::rocit::ROCIT_TILES_PATH::function(__VA_ARGS__) \
   : rocit_path() == ROCIT_AVX512_BF16 ? ::rocit::ROCIT_BEST_PATH::function(__VA_ARGS__) \
   : rocit_path() == ROCIT_AVX512    ? ::rocit::avx512::function(__VA_ARGS__)           \
   : rocit_path() == ROCIT_AVX2      ? ::rocit::avx2::function(__VA_ARGS__)             \
                                     : ::rocit::portable::function(__VA_ARGS__))
#else
#define ROCIT_DISPATCH(function, ...) ::rocit::portable::function(__VA_ARGS__)
#endif
