// The door of read_tensor: RocitReadTensor. See include/read_tensor.h.
#include "read_tensor.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "door.h"

namespace rocit {
namespace {

using tensorflow::DataType;
using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::PartialTensorShape;
using tensorflow::Tensor;
using tensorflow::TensorShape;
using tensorflow::shape_inference::InferenceContext;
using tensorflow::shape_inference::ShapeHandle;

REGISTER_OP("RocitReadTensor")
    .Input("path: uint8")    // the bytes of the UTF-8 path, on the host
    .Input("offset: int32")  // [2], low and high 32 bits of the byte offset, on the host
    .Output("y: T")
    .Attr("source_type: {float, half, bfloat16}")
    .Attr("T: {float, bfloat16}")
    .Attr("shape: shape")
    .Attr("check_finite: bool")
    .SetIsStateful()
    .SetShapeFn([](InferenceContext* c) {
      PartialTensorShape shape;
      ShapeHandle output;
      TF_RETURN_IF_ERROR(c->GetAttr("shape", &shape));
      TF_RETURN_IF_ERROR(c->MakeShapeFromPartialTensorShape(shape, &output));
      c->set_output(0, output);
      return absl::OkStatus();
    });

// Of page-locked memory, on the way to a GPU.
constexpr int64_t kStagingBytes = 32 << 20;

RocitDtype SourceDtype(DataType type) {
  if (type == tensorflow::DT_FLOAT) return ROCIT_FLOAT32;
  return type == tensorflow::DT_HALF ? ROCIT_FLOAT16 : ROCIT_BFLOAT16;
}

int64_t JoinOffset(const Tensor& offset) {
  const auto halves = offset.flat<int32_t>();
  return (static_cast<int64_t>(halves(1)) << 32) | static_cast<uint32_t>(halves(0));
}

absl::Status Explain(const RocitReadTensorArgs& args, const RocitReadResult& result) {
  const char* op = "RocitReadTensor: ";
  switch (result.status) {
    case ROCIT_READ_OK:
    case ROCIT_READ_CUDA:  // told before
      return absl::OkStatus();
    case ROCIT_READ_NO_FILE:
      return absl::NotFoundError(Join(op, "cannot open ", args.path, ": ", std::strerror(result.system_error)));
    case ROCIT_READ_TOO_SHORT:
      return absl::OutOfRangeError(Join(op, args.path, ": expected ", args.count, " values at byte offset ", args.offset,
                                        ", got a file of ", result.file_bytes, " bytes"));
    case ROCIT_READ_FAILED:
      return absl::UnavailableError(Join(op, args.path, ": reading at byte offset ", args.offset, " failed: ",
                                         std::strerror(result.system_error)));
    case ROCIT_READ_NOT_FINITE:
      return Refuse(op, args.path, ": expected finite values, got NaN or Inf at index ", result.bad_index,
                    " of the tensor at byte offset ", args.offset);
  }
  return absl::OkStatus();
}

template <class Device, class T>
class ReadTensorOp : public OpKernel {
 public:
  explicit ReadTensorOp(OpKernelConstruction* ctx) : OpKernel(ctx) {
    PartialTensorShape shape;
    OP_REQUIRES_OK(ctx, ctx->GetAttr("shape", &shape));
    OP_REQUIRES(ctx, shape.AsTensorShape(&shape_),
                Refuse("RocitReadTensor: expected a whole shape, got ", shape.DebugString()));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("source_type", &source_type_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("check_finite", &check_finite_));
  }

  void Compute(OpKernelContext* ctx) override {
    const Tensor& path = ctx->input(0);
    const Tensor& offset = ctx->input(1);
    OP_REQUIRES_OK(ctx, CheckRank("RocitReadTensor", "path", path, 1));
    OP_REQUIRES_OK(ctx, CheckShape("RocitReadTensor", "offset", offset, TensorShape({2})));
    const int64_t at = JoinOffset(offset);
    OP_REQUIRES(ctx, at >= 0, Refuse("RocitReadTensor: expected offset >= 0, got ", at));
    const std::string name(static_cast<const char*>(path.data()), path.NumElements());
    OP_REQUIRES(ctx, !name.empty() && name.find('\0') == std::string::npos,
                Refuse("RocitReadTensor: expected a path without zero bytes, got ", name.size(), " bytes"));
    Tensor* y = nullptr;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, shape_, &y));
    const RocitReadTensorArgs args = {name.c_str(), at, shape_.num_elements(), SourceDtype(source_type_),
                                      DtypeOf<T>(), check_finite_, y->data()};
    if constexpr (kIsCuda<Device>) {
      tensorflow::AllocatorAttributes host;
      host.set_on_host(true);
      host.set_gpu_compatible(true);  // page-locked
      const int64_t staging_bytes = std::min(kStagingBytes, 8 + 2 * static_cast<int64_t>(y->TotalBytes()));
      Tensor staging;
      OP_REQUIRES_OK(ctx, ctx->allocate_temp(tensorflow::DT_UINT8, TensorShape({staging_bytes}), &staging, host));
      const RocitParallel parallel = MakeParallel(ctx);
      CudaCall call(ctx, "RocitReadTensor");
      RocitReadResult result = {};
      OP_REQUIRES_OK(ctx, call.Run(0, [&](const RocitCuda* cuda) {
        result = rocit_read_tensor_cuda(&args, staging.data(), staging_bytes, &parallel, cuda);
        return result.status == ROCIT_READ_CUDA ? result.system_error : 0;
      }));
      OP_REQUIRES_OK(ctx, Explain(args, result));
    } else {
      const CallParallel parallel(ctx);
      OP_REQUIRES_OK(ctx, Explain(args, rocit_read_tensor(&args, &parallel)));
    }
  }

 private:
  TensorShape shape_;
  DataType source_type_;
  bool check_finite_;
};

ROCIT_REGISTER("RocitReadTensor", ReadTensorOp, .HostMemory("path").HostMemory("offset"));

}  // namespace
}  // namespace rocit
