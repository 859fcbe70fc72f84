// What the processor offers and which of the vector paths the CPU kernels take.
#ifndef ROCIT_MACHINE_H_
#define ROCIT_MACHINE_H_

#ifdef __cplusplus
extern "C" {
#endif

// The paths, lowest first. Results are bit-identical on all of them.
typedef enum { ROCIT_PORTABLE = 0, ROCIT_AVX2 = 1, ROCIT_AVX512 = 2 } RocitPath;

// The best path of this machine, or the lower one that the environment names (ROCIT_SIMD=portable|avx2|avx512).
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
