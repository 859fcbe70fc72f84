// What the doors share: dtypes, TensorFlow's own threads as the contract's parallel_for, checks that name op and values.
#ifndef ROCIT_TENSORFLOW_DOOR_H_
#define ROCIT_TENSORFLOW_DOOR_H_

#include <string>
#include <type_traits>

#include "contract.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace rocit {

template <class T>
constexpr RocitDtype DtypeOf() {
  if constexpr (std::is_same_v<T, float>) return ROCIT_FLOAT32;
  if constexpr (std::is_same_v<T, tensorflow::bfloat16>) return ROCIT_BFLOAT16;
  return ROCIT_FLOAT16;
}

inline RocitParallel MakeParallel(tensorflow::OpKernelContext* ctx) {
  const auto run = [](void* context, int64_t count, int64_t cost, void (*body)(void*, int64_t, int64_t), void* arg) {
    const auto* device = static_cast<tensorflow::OpKernelContext*>(context)->device();
    device->tensorflow_cpu_worker_threads()->workers->ParallelFor(
        count, cost, [body, arg](int64_t begin, int64_t end) { body(arg, begin, end); });
  };
  return {ctx, run};
}

template <class... Parts>
absl::Status Refuse(const Parts&... parts) {
  return tensorflow::errors::InvalidArgument(parts...);
}

// A tensor of rank 1 without elements stands for "none".
inline bool IsNone(const tensorflow::Tensor& tensor) { return tensor.dims() == 1 && tensor.NumElements() == 0; }

inline absl::Status CheckShape(const char* op, const char* name, const tensorflow::Tensor& tensor,
                               const tensorflow::TensorShape& expected) {
  if (tensor.shape() == expected) return absl::OkStatus();
  return Refuse(op, ": expected ", name, " of shape ", expected.DebugString(), ", got ", tensor.shape().DebugString());
}

inline absl::Status CheckRank(const char* op, const char* name, const tensorflow::Tensor& tensor, int rank) {
  if (tensor.dims() == rank) return absl::OkStatus();
  return Refuse(op, ": expected ", name, " of rank ", rank, ", got shape ", tensor.shape().DebugString());
}

}  // namespace rocit

#endif  // ROCIT_TENSORFLOW_DOOR_H_
