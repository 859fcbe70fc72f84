// How long our kernels themselves have computed: inside the functions of the contract, without TensorFlow's dispatch, the
// checks of arguments and the allocation of outputs.
#ifndef ROCIT_TENSORFLOW_COMPUTE_TIME_H_
#define ROCIT_TENSORFLOW_COMPUTE_TIME_H_

#include <atomic>
#include <chrono>
#include <cstdint>

namespace rocit {

// Since the process started, on all threads that call kernels.
inline std::atomic<int64_t> compute_nanoseconds{0};

// Adds the time from its making to its end.
class ComputeTime {
 public:
  ComputeTime() = default;
  ComputeTime(const ComputeTime&) = delete;
  ~ComputeTime() {
    const auto taken = std::chrono::steady_clock::now() - start_;
    compute_nanoseconds += std::chrono::duration_cast<std::chrono::nanoseconds>(taken).count();
  }

 private:
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace rocit

#endif  // ROCIT_TENSORFLOW_COMPUTE_TIME_H_
