// The choice of the vector path: by cpuid, lowered by ROCIT_SIMD or by a test.
#include "machine.h"

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <string>

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace {

constexpr const char* kNames[] = {"portable", "avx2", "avx512", "avx512_bf16", "amx_bf16"};

#if defined(__x86_64__)
bool HasBfloat16Products() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) && ((a >> 5) & 1);
}

// AMX has to be asked for: the system then saves its 8 KB of registers a thread (Linux 5.16, for the whole process).
bool MayUseTiles() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !((d >> 22) & 1) || !((d >> 24) & 1)) return false;
#if defined(__linux__)
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}
#endif

RocitPath FindBestPath() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
    if (!HasBfloat16Products()) return ROCIT_AVX512;
    return MayUseTiles() ? ROCIT_AMX_BF16 : ROCIT_AVX512_BF16;
  }
  if (avx2) return ROCIT_AVX2;
#endif
  return ROCIT_PORTABLE;
}

RocitPath BestPath() {
  static const RocitPath best = FindBestPath();
  return best;
}

RocitPath InitialPath() {
  const RocitPath best = BestPath();
  const char* wanted = std::getenv("ROCIT_SIMD");
  for (int path = 0; wanted != nullptr && path < best; ++path) {
    if (std::strcmp(wanted, kNames[path]) == 0) return static_cast<RocitPath>(path);
  }
  return best;
}

std::atomic<RocitPath>& Current() {
  static std::atomic<RocitPath> current{InitialPath()};
  return current;
}

std::string Features() {
  std::string text;
#if defined(__x86_64__)
  const auto add = [&text](bool has, const char* name) {
    if (has) text += (text.empty() ? "" : " ") + std::string(name);
  };
  const RocitPath best = BestPath();  // also says that the system saves the registers
  add(best >= ROCIT_AVX2, "avx2");
  add(best >= ROCIT_AVX2, "fma");
  add(best >= ROCIT_AVX512, "avx512f");
  add(best >= ROCIT_AVX512, "avx512bw");
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (best >= ROCIT_AVX512 && __get_cpuid_count(7, 0, &a, &b, &c, &d)) {
    add((c >> 11) & 1, "avx512_vnni");
    add((d >> 22) & 1, "amx_bf16");
    add((d >> 24) & 1, "amx_tile");
  }
  add(best >= ROCIT_AVX512_BF16, "avx512_bf16");
#endif
  return text;
}

}  // namespace

RocitPath rocit_path(void) { return Current().load(std::memory_order_relaxed); }

int rocit_force_path(RocitPath path) {
  if (path > BestPath()) return 0;
  Current().store(path, std::memory_order_relaxed);
  return 1;
}

const char* rocit_path_name(RocitPath path) { return kNames[path]; }

const char* rocit_cpu_features(void) {
  static const std::string features = Features();
  return features.c_str();
}
