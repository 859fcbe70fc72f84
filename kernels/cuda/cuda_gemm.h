// Matrix products on CUDA for the operations that are made of them: cuBLASLt, and a plain kernel for what it refuses.
#ifndef ROCIT_CUDA_CUDA_GEMM_H_
#define ROCIT_CUDA_CUDA_GEMM_H_

#include "device.h"
#include "gemm.h"

namespace rocit {

// `workspace`: GemmWorkspaceBytes() of device memory.
RocitCudaStatus CudaGemm(const RocitGemmArgs& args, const RocitCuda& cuda, void* workspace);

// The library that multiplies: cuBLASLt (gemm_library.cu), in the emulator a plain loop. It gets products of at least
// one element in each direction.

inline constexpr RocitCudaStatus kLibraryRefuses = 100015;  // CUBLAS_STATUS_NOT_SUPPORTED

RocitCudaStatus LibraryGemm(const RocitGemmArgs& args, const RocitCuda& cuda, void* workspace);
int64_t GemmWorkspaceBytes();

// About what an operation may take at once for results in between, e.g. logits: much on a GPU, little in the emulator.
int64_t ChunkBytes();

inline int64_t SizeOf(RocitDtype dtype) { return dtype == ROCIT_FLOAT32 ? 4 : 2; }

// Cuts workspace into parts on multiples of 256 bytes. With a null start it counts the bytes.
class Workspace {
 public:
  explicit Workspace(void* start) : start_(static_cast<char*>(start)) {}
  template <class T>
  T* Take(int64_t count) {
    const int64_t at = bytes_;
    bytes_ += (count * static_cast<int64_t>(sizeof(T)) + 255) / 256 * 256;
    return start_ == nullptr ? nullptr : reinterpret_cast<T*>(start_ + at);
  }
  int64_t bytes() const { return bytes_; }

 private:
  char* start_;
  int64_t bytes_ = 0;
};

}  // namespace rocit

#endif  // ROCIT_CUDA_CUDA_GEMM_H_
