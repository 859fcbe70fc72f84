// Memory of the device for the tests of the CUDA kernels: of the GPU (device_memory_cuda.cc), or of the emulator, which
// is plain memory sized exactly, so that the address sanitizer sees every step outside.
#ifndef ROCIT_TESTS_DEVICE_MEMORY_H_
#define ROCIT_TESTS_DEVICE_MEMORY_H_

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "check.h"
#include "contract.h"

namespace device {

// Bytes on a multiple of 256. New memory holds 0xff in every byte: NaN in either dtype, -1 as an integer.
void* Allocate(size_t bytes);
void Free(void* memory);
void CopyIn(void* memory, const void* host, size_t bytes);
void CopyOut(void* host, const void* memory, size_t bytes);

// Waits for all work and returns its error.
RocitCudaStatus Synchronize();
std::string Describe(RocitCudaStatus status);

// Calls body(name) for each order in which the device can be made to run threads and blocks: three in the emulator, on a
// GPU twice the one it has. What a kernel writes must be the same bits each time.
void InEachOrder(const std::function<void(const std::string& name)>& body);

class Memory {
 public:
  explicit Memory(size_t bytes) : size_(bytes), data_(Allocate(bytes)) {}
  Memory(const void* host, size_t bytes) : Memory(bytes) { CopyIn(data_, host, bytes); }
  Memory(Memory&& other) noexcept : size_(other.size_), data_(other.data_) { other.data_ = nullptr; }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  ~Memory() {
    if (data_ != nullptr) Free(data_);
  }
  void* data() { return data_; }
  size_t size() const { return size_; }

 private:
  size_t size_;
  void* data_;
};

// A tensor of either dtype; `shift` elements lie before it, to try memory that is not aligned.
class Tensor {
 public:
  explicit Tensor(const check::Values& values, int64_t shift = 0) : Tensor(values.dtype, values.size(), shift) {
    CopyIn(data(), values.bytes.data(), values.bytes.size());
  }
  Tensor(RocitDtype dtype, int64_t count, int64_t shift = 0)
      : dtype_(dtype), count_(count), shift_(Bytes(shift)), memory_(Bytes(shift + count)) {}
  void* data() { return static_cast<char*>(memory_.data()) + shift_; }
  float* floats() { return static_cast<float*>(data()); }
  check::Values Read() {
    check::Values values(dtype_, count_);
    CopyOut(values.data(), data(), values.bytes.size());
    return values;
  }

 private:
  size_t Bytes(int64_t count) const { return static_cast<size_t>(count) * (dtype_ == ROCIT_FLOAT32 ? 4 : 2); }
  RocitDtype dtype_;
  int64_t count_;
  size_t shift_;
  Memory memory_;
};

// An array of numbers.
template <class T>
class Array {
 public:
  explicit Array(const std::vector<T>& values) : memory_(values.data(), values.size() * sizeof(T)) {}
  explicit Array(int64_t count) : memory_(static_cast<size_t>(count) * sizeof(T)) {}
  T* data() { return static_cast<T*>(memory_.data()); }
  std::vector<T> Read() {
    std::vector<T> values(memory_.size() / sizeof(T));
    CopyOut(values.data(), memory_.data(), memory_.size());
    return values;
  }

 private:
  Memory memory_;
};

// For the tensors of a case, as cases::OnHost.
struct OnDevice {
  using Tensor = device::Tensor;
  template <class T>
  using Array = device::Array<T>;
  static check::Values Read(Tensor& tensor) { return tensor.Read(); }
};

// The default stream.
inline RocitCuda Cuda(void* workspace = nullptr) { return {nullptr, workspace}; }

// Waits and checks that nothing went wrong.
inline void IsDone(RocitCudaStatus status, const std::string& name) {
  const RocitCudaStatus later = Synchronize();
  const RocitCudaStatus first = status != 0 ? status : later;
  check::That(first == 0, name + " runs", Describe(first));
}

}  // namespace device

#endif  // ROCIT_TESTS_DEVICE_MEMORY_H_
