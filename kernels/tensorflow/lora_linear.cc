// The door of lora_linear: RocitLoraLinear and RocitLoraLinearGrad. See include/lora_linear.h.
#include "lora_projections.h"

namespace rocit {
namespace {

using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShape;
using tensorflow::shape_inference::InferenceContext;

// P projections; "or [0]" stands for none.
REGISTER_OP("RocitLoraLinear")
    .Input("x: T")              // [N, in]
    .Input("weights: P * T")    // [out, in]
    .Input("biases: P * T")     // [out], or [0]
    .Input("a: P * float")      // [R, in], or [0]
    .Input("b: P * float")      // [out, R], or [0]
    .Input("settings: int32")   // [P, 2], bits of floats on the host: scaling, dropout
    .Input("seeds: int32")      // [P], on the host
    .Output("y: P * T")         // [N, out]
    .Output("z: float")         // [N, sum of R]
    .Attr("T: {float, bfloat16}")
    .Attr("P: int >= 1")
    .SetShapeFn([](InferenceContext* c) { return InferProjections(c, 1); });

REGISTER_OP("RocitLoraLinearGrad")
    .Input("x: T")
    .Input("weights: P * T")
    .Input("a: P * float")
    .Input("b: P * float")
    .Input("z: float")
    .Input("dy: P * T")  // [N, out], or [0]: zero
    .Input("settings: int32")
    .Input("seeds: int32")
    .Input("da_before: P * float")  // as a, what da is added to; or [0]: zero
    .Input("db_before: P * float")  // as b
    .Output("dx: T")          // [N, in], or [0] when not wanted
    .Output("da: P * float")  // as a
    .Output("db: P * float")  // as b
    .Attr("T: {float, bfloat16}")
    .Attr("P: int >= 1")
    .Attr("wants_dx: bool")
    .SetShapeFn([](InferenceContext* c) { return InferProjectionGradients(c, 1, 1); });

template <class Device, class T>
class LoraLinearOp : public OpKernel {
 public:
  explicit LoraLinearOp(OpKernelConstruction* ctx) : OpKernel(ctx) {}

  void Compute(OpKernelContext* ctx) override {
    const char* op = "RocitLoraLinear";
    const Tensor& x = ctx->input(0);
    OP_REQUIRES_OK(ctx, CheckRank(op, "x", x, 2));
    const int64_t rows = x.dim_size(0), in = x.dim_size(1);
    Projections projections;
    OP_REQUIRES_OK(ctx, projections.Read(ctx, op, in, true));
    OP_REQUIRES_OK(ctx, (Project<Device, T>(ctx, op, projections, rows, in, x.data())));
  }
};

template <class Device, class T>
class LoraLinearGradOp : public OpKernel {
 public:
  explicit LoraLinearGradOp(OpKernelConstruction* ctx) : OpKernel(ctx) {
    OP_REQUIRES_OK(ctx, ctx->GetAttr("wants_dx", &wants_dx_));
  }

  void Compute(OpKernelContext* ctx) override {
    const char* op = "RocitLoraLinearGrad";
    const Tensor& x = ctx->input(0);
    OP_REQUIRES_OK(ctx, CheckRank(op, "x", x, 2));
    const int64_t rows = x.dim_size(0), in = x.dim_size(1);
    Projections projections;
    OP_REQUIRES_OK(ctx, projections.Read(ctx, op, in, false));
    Tensor* dx = nullptr;
    OP_REQUIRES_OK(ctx, ctx->allocate_output("dx", wants_dx_ ? x.shape() : TensorShape({0}), &dx));
    ProjectBack<Device, T> back(ctx, op, projections);
    OP_REQUIRES_OK(ctx, back.Read(rows, in));
    OP_REQUIRES_OK(ctx, back.Run(x.data(), wants_dx_ ? dx->data() : nullptr));
  }

 private:
  bool wants_dx_ = true;
};

ROCIT_REGISTER("RocitLoraLinear", LoraLinearOp, .HostMemory("settings").HostMemory("seeds"));
ROCIT_REGISTER("RocitLoraLinearGrad", LoraLinearGradOp, .HostMemory("settings").HostMemory("seeds"));

}  // namespace
}  // namespace rocit
