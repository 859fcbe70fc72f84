// What the doors share: dtypes, TensorFlow's own threads as the contract's parallel_for, its stream and allocator for
// CUDA, registration for both devices, checks that name op and values. No header of CUDA is needed here.
#ifndef ROCIT_TENSORFLOW_DOOR_H_
#define ROCIT_TENSORFLOW_DOOR_H_

#include <sstream>
#include <string>
#include <type_traits>
#include <vector>

#include "compute_time.h"
#include "contract.h"
#include "cuda_door.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "worker_threads.h"
#include "xla/stream_executor/stream.h"

namespace rocit {

// Where a kernel computes. It calls the function of the contract for that device.
struct Cpu {};
struct Cuda {};

template <class Device>
constexpr bool kIsCuda = std::is_same_v<Device, Cuda>;

template <class T>
constexpr RocitDtype DtypeOf() {
  if constexpr (std::is_same_v<T, float>) return ROCIT_FLOAT32;
  if constexpr (std::is_same_v<T, tensorflow::bfloat16>) return ROCIT_BFLOAT16;
  return ROCIT_FLOAT16;
}

// The floats of a tensor that holds their bits. What the host makes for a call comes so: int32 tensors are the ones that
// the binding leaves in the host's memory, others would travel to the device and be waited for on their way back.
inline const float* Floats(const tensorflow::Tensor& bits) { return static_cast<const float*>(bits.data()); }

inline RocitParallel MakeParallel(tensorflow::OpKernelContext* ctx) {
  const auto run = [](void* context, int64_t count, int64_t cost, void (*body)(void*, int64_t, int64_t), void* arg) {
    const auto* device = static_cast<tensorflow::OpKernelContext*>(context)->device();
    RunOnWorkers(device->tensorflow_cpu_worker_threads()->workers, count, cost, body, arg);
  };
  return {ctx, run};
}

// The same, made for one call of a kernel: what happens until its end is the kernel's compute.
class CallParallel : public RocitParallel {
 public:
  explicit CallParallel(tensorflow::OpKernelContext* ctx) : RocitParallel(MakeParallel(ctx)) {}

 private:
  ComputeTime time_;
};

template <class... Parts>
std::string Join(const Parts&... parts) {
  std::ostringstream text;
  (text << ... << parts);
  return text.str();
}

template <class... Parts>
absl::Status Refuse(const Parts&... parts) {
  return absl::InvalidArgumentError(Join(parts...));
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

inline std::string CudaText(RocitCudaStatus status) {
  constexpr RocitCudaStatus kCublas = 100000;
  return status < kCublas ? rocit_cuda_error_text(status) : "cuBLASLt status " + std::to_string(status - kCublas);
}

// One call of CUDA code: all of it goes on the stream that TensorFlow computes on, and nothing waits. Scratch comes from
// TensorFlow's allocator, which hands memory on in the order of that stream, so it may be given back when Compute returns.
class CudaCall {
 public:
  CudaCall(tensorflow::OpKernelContext* ctx, const char* op) : ctx_(ctx), op_(op) {
    auto* device = ctx->op_device_context();
    if (device != nullptr) cuda_.stream = device->stream()->platform_specific_handle().stream;
  }

  // The copy on the device of an array in the host's memory.
  template <class T>
  const T* Upload(const T* host, int64_t count) {
    if (count == 0) return nullptr;
    void* to = Allocate(count * sizeof(T));
    if (status_.ok()) Note(rocit_cuda_upload(to, host, count * sizeof(T), &cuda_));
    return static_cast<const T*>(to);
  }

  // What went wrong so far, or in body(cuda), which has a workspace of so many bytes.
  template <class Body>
  absl::Status Run(int64_t workspace_bytes, const Body& body) {
    cuda_.workspace = workspace_bytes > 0 ? Allocate(workspace_bytes) : nullptr;
    if (!status_.ok()) return status_;
    const ComputeTime time;  // of the launches alone, where there is a GPU
    Note(body(&cuda_));
    return status_;
  }

 private:
  void* Allocate(int64_t bytes) {
    constexpr int64_t kAlignment = 256;
    tensorflow::Tensor tensor;
    if (status_.ok()) {
      status_ = ctx_->allocate_temp(tensorflow::DT_UINT8, tensorflow::TensorShape({bytes + kAlignment}), &tensor);
    }
    if (!status_.ok()) return nullptr;
    scratch_.push_back(tensor);
    const uintptr_t at = reinterpret_cast<uintptr_t>(tensor.data());
    return reinterpret_cast<void*>((at + kAlignment - 1) / kAlignment * kAlignment);
  }

  void Note(RocitCudaStatus status) {
    if (status != 0) status_ = absl::InternalError(Join(op_, ": ", CudaText(status)));
  }

  tensorflow::OpKernelContext* ctx_;
  const char* op_;
  RocitCuda cuda_ = {};
  absl::Status status_;
  std::vector<tensorflow::Tensor> scratch_;
};

inline int64_t NoWorkspace() { return 0; }

// Runs a function of the contract for the device: on_cpu(parallel), or on_cuda(cuda) with workspace() bytes.
template <class Device, class OnCpu, class OnCuda, class Workspace = decltype(&NoWorkspace)>
absl::Status RunOn(tensorflow::OpKernelContext* ctx, const char* op, const OnCpu& on_cpu, const OnCuda& on_cuda,
                   const Workspace& workspace = &NoWorkspace) {
  if constexpr (kIsCuda<Device>) {
    return CudaCall(ctx, op).Run(workspace(), on_cuda);
  } else {
    const CallParallel parallel(ctx);
    on_cpu(&parallel);
    return absl::OkStatus();
  }
}

}  // namespace rocit

// ROCIT_REGISTER("RocitRope", RopeOp, .HostMemory("position_ids")) registers RopeOp<Cpu, T> and, where CUDA is compiled,
// RopeOp<Cuda, T> for both element types. What the last part names lies in the host's memory on both devices.
// ROCIT_REGISTER_UNTYPED registers Op<Cpu> and Op<Cuda>.
#define ROCIT_REGISTER_ONE(op, Op, Where, device, T, ...) \
  REGISTER_KERNEL_BUILDER(Name(op).Device(tensorflow::device).TypeConstraint<T>("T") __VA_ARGS__, Op<Where, T>)
#define ROCIT_REGISTER_BOTH_TYPES(op, Op, Where, device, ...)      \
  ROCIT_REGISTER_ONE(op, Op, Where, device, float, __VA_ARGS__);   \
  ROCIT_REGISTER_ONE(op, Op, Where, device, tensorflow::bfloat16, __VA_ARGS__)
#define ROCIT_REGISTER_NO_TYPE(op, Op, Where, device, ...) \
  REGISTER_KERNEL_BUILDER(Name(op).Device(tensorflow::device) __VA_ARGS__, Op<Where>)
#if ROCIT_CUDA_EMULATION  // the device is the CPU
#define ROCIT_REGISTER_BY(REGISTER, op, Op, ...)   \
  REGISTER(op, Op, Cuda, DEVICE_CPU, __VA_ARGS__); \
  REGISTER(op, Op, Cuda, DEVICE_GPU, __VA_ARGS__)
#elif ROCIT_CUDA
#define ROCIT_REGISTER_BY(REGISTER, op, Op, ...) \
  REGISTER(op, Op, Cpu, DEVICE_CPU, __VA_ARGS__); \
  REGISTER(op, Op, Cuda, DEVICE_GPU, __VA_ARGS__)
#else
#define ROCIT_REGISTER_BY(REGISTER, op, Op, ...) REGISTER(op, Op, Cpu, DEVICE_CPU, __VA_ARGS__)
#endif
#define ROCIT_REGISTER(op, ...) ROCIT_REGISTER_BY(ROCIT_REGISTER_BOTH_TYPES, op, __VA_ARGS__)
#define ROCIT_REGISTER_UNTYPED(op, ...) ROCIT_REGISTER_BY(ROCIT_REGISTER_NO_TYPE, op, __VA_ARGS__)

#endif  // ROCIT_TENSORFLOW_DOOR_H_
