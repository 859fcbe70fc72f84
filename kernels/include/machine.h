// What the processor offers and which of the vector paths the CPU kernels take.
#ifndef ROCIT_MACHINE_H_
#define ROCIT_MACHINE_H_

#ifdef __cplusplus
extern "C" {
#endif

// The paths, lowest first. Operations without matrix products give the same bits on all of them. Matrix products use
// fused multiply-add from AVX2 on, the same bits on AVX2 and AVX-512; the last two multiply pairs of bfloat16, the last on
// the tile registers of AMX, float32 as the sum of three bfloat16.
typedef enum {
  ROCIT_PORTABLE = 0,
  ROCIT_AVX2 = 1,
  ROCIT_AVX512 = 2,
  ROCIT_AVX512_BF16 = 3,
  ROCIT_AMX_BF16 = 4
} RocitPath;

// The best path of this machine, or the lower one that the environment names
// (ROCIT_SIMD=portable|avx2|avx512|avx512_bf16|amx_bf16).
RocitPath rocit_path(void);

// Forces a path for this process; returns 0 and changes nothing when the machine lacks it.
int rocit_force_path(RocitPath path);

const char* rocit_path_name(RocitPath path);

// The features kernels care about that this machine has, separated by blanks: "avx2 fma avx512f avx512_bf16 …".
const char* rocit_cpu_features(void);

#ifdef __cplusplus
}
#endif
#endif  // ROCIT_MACHINE_H_
