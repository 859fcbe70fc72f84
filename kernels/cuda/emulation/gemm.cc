// The library's product for the emulator: plain loops with float32 sums. It refuses what a library may refuse: rows that
// do not start on whole words.
#include "../cuda_gemm.h"

namespace rocit {
namespace {

template <class T>
float Element(const void* from, int64_t stride, bool is_transposed, int64_t row, int64_t column) {
  return ToFloat(static_cast<const T*>(from)[is_transposed ? column * stride + row : row * stride + column]);
}

template <class T, class C>
void Multiply(const RocitGemmArgs& args) {
  for (int64_t i = 0; i < args.m; ++i) {
    for (int64_t j = 0; j < args.n; ++j) {
      float sum = 0;
      for (int64_t k = 0; k < args.k; ++k) {
        sum += Element<T>(args.a, args.a_stride, args.a_transposed != 0, i, k) *
               Element<T>(args.b, args.b_stride, args.b_transposed != 0, k, j);
      }
      C* to = static_cast<C*>(args.c) + i * args.c_stride + j;
      *to = FromFloat<C>(args.beta == 0 ? sum : sum + args.beta * ToFloat(*to));
    }
  }
}

bool HasWholeWords(const void* data, int64_t stride, RocitDtype dtype) {
  return (reinterpret_cast<uintptr_t>(data) | static_cast<uintptr_t>(stride * SizeOf(dtype))) % 4 == 0;
}

}  // namespace

int64_t GemmWorkspaceBytes() { return 256; }
int64_t ChunkBytes() { return 1 << 13; }

RocitCudaStatus LibraryGemm(const RocitGemmArgs& args, const RocitCuda&, void* workspace) {
  if (workspace == nullptr) return 100007;  // CUBLAS_STATUS_INVALID_VALUE
  const bool has_whole_words = HasWholeWords(args.a, args.a_stride, args.dtype) &&
                               HasWholeWords(args.b, args.b_stride, args.dtype) &&
                               HasWholeWords(args.c, args.c_stride, args.c_dtype);
  if (!has_whole_words) return kLibraryRefuses;
  if (args.dtype == ROCIT_FLOAT32) Multiply<float, float>(args);
  else if (args.c_dtype == ROCIT_FLOAT32) Multiply<Bf16, float>(args);
  else Multiply<Bf16, Bf16>(args);
  return 0;
}

}  // namespace rocit
