// swiglu in front of lora_linear in one operation: RocitSwigluLoraLinear and RocitSwigluLoraLinearGrad. The gated rows live
// inside a call alone; backward makes them again, the same bits, so nobody keeps them.
#include "lora_projections.h"
#include "swiglu.h"

namespace rocit {
namespace {

using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShape;
using tensorflow::shape_inference::InferenceContext;

// P projections; "or [0]" stands for none.
REGISTER_OP("RocitSwigluLoraLinear")
    .Input("gate: T")         // [N, in]
    .Input("up: T")           // [N, in]
    .Input("weights: P * T")  // the projections as RocitLoraLinear has them
    .Input("biases: P * T")
    .Input("a: P * float")
    .Input("b: P * float")
    .Input("settings: int32")
    .Input("seeds: int32")
    .Output("y: P * T")  // [N, out]
    .Output("z: float")  // [N, sum of R]
    .Attr("T: {float, bfloat16}")
    .Attr("P: int >= 1")
    .SetShapeFn([](InferenceContext* c) { return InferProjections(c, 2); });

REGISTER_OP("RocitSwigluLoraLinearGrad")
    .Input("gate: T")
    .Input("up: T")
    .Input("weights: P * T")
    .Input("a: P * float")
    .Input("b: P * float")
    .Input("z: float")
    .Input("dy: P * T")  // [N, out], or [0]: zero
    .Input("settings: int32")
    .Input("seeds: int32")
    .Input("da_before: P * float")
    .Input("db_before: P * float")
    .Output("d_gate: T")  // [N, in], or [0] when not wanted
    .Output("d_up: T")    // the same
    .Output("da: P * float")
    .Output("db: P * float")
    .Attr("T: {float, bfloat16}")
    .Attr("P: int >= 1")
    .Attr("wants_dx: bool")
    .SetShapeFn([](InferenceContext* c) { return InferProjectionGradients(c, 2, 2); });

// gate and up, checked, and silu(gate) up as a tensor of this call.
template <class Device, class T>
class Gated {
 public:
  absl::Status Make(OpKernelContext* ctx, const char* op) {
    const Tensor &gate = ctx->input(0), &up = ctx->input(1);
    TF_RETURN_IF_ERROR(CheckRank(op, "gate", gate, 2));
    TF_RETURN_IF_ERROR(CheckShape(op, "up", up, gate.shape()));
    TF_RETURN_IF_ERROR(AllocateTemporary<T>(ctx, gate.shape(), &y_));
    const int64_t size = gate.dim_size(1);
    const RocitSwigluArgs args = {DtypeOf<T>(), gate.dim_size(0), size, size, size, size, gate.data(), up.data(), y_.data()};
    return RunOn<Device>(
        ctx, op, [&](const RocitParallel* parallel) { rocit_swiglu(&args, parallel); },
        [&](const RocitCuda* cuda) { return rocit_swiglu_cuda(&args, cuda); });
  }

  absl::Status Back(OpKernelContext* ctx, const char* op, const Tensor& dy, Tensor* d_gate, Tensor* d_up) {
    const int64_t size = y_.dim_size(1);
    const RocitSwigluGradArgs args = {DtypeOf<T>(), y_.dim_size(0), size, size, size, size, size, size, dy.data(),
                                      ctx->input(0).data(), ctx->input(1).data(), d_gate->data(), d_up->data()};
    return RunOn<Device>(
        ctx, op, [&](const RocitParallel* parallel) { rocit_swiglu_grad(&args, parallel); },
        [&](const RocitCuda* cuda) { return rocit_swiglu_grad_cuda(&args, cuda); });
  }

  int64_t rows() const { return y_.dim_size(0); }
  int64_t size() const { return y_.dim_size(1); }
  const TensorShape& shape() const { return y_.shape(); }
  const void* data() const { return y_.data(); }

 private:
  Tensor y_;
};

template <class Device, class T>
class SwigluLoraLinearOp : public OpKernel {
 public:
  explicit SwigluLoraLinearOp(OpKernelConstruction* ctx) : OpKernel(ctx) {}

  void Compute(OpKernelContext* ctx) override {
    const char* op = "RocitSwigluLoraLinear";
    Gated<Device, T> gated;
    OP_REQUIRES_OK(ctx, gated.Make(ctx, op));
    Projections projections;
    OP_REQUIRES_OK(ctx, projections.Read(ctx, op, gated.size(), true));
    OP_REQUIRES_OK(ctx, (Project<Device, T>(ctx, op, projections, gated.rows(), gated.size(), gated.data())));
  }
};

template <class Device, class T>
class SwigluLoraLinearGradOp : public OpKernel {
 public:
  explicit SwigluLoraLinearGradOp(OpKernelConstruction* ctx) : OpKernel(ctx) {
    OP_REQUIRES_OK(ctx, ctx->GetAttr("wants_dx", &wants_dx_));
  }

  void Compute(OpKernelContext* ctx) override {
    const char* op = "RocitSwigluLoraLinearGrad";
    Gated<Device, T> gated;
    OP_REQUIRES_OK(ctx, gated.Make(ctx, op));
    Projections projections;
    OP_REQUIRES_OK(ctx, projections.Read(ctx, op, gated.size(), false));
    const TensorShape shape = wants_dx_ ? gated.shape() : TensorShape({0});
    Tensor *d_gate = nullptr, *d_up = nullptr;
    OP_REQUIRES_OK(ctx, ctx->allocate_output("d_gate", shape, &d_gate));
    OP_REQUIRES_OK(ctx, ctx->allocate_output("d_up", shape, &d_up));
    ProjectBack<Device, T> back(ctx, op, projections);
    OP_REQUIRES_OK(ctx, back.Read(gated.rows(), gated.size()));
    if (!wants_dx_) {
      OP_REQUIRES_OK(ctx, back.Run(gated.data(), nullptr));
      return;
    }
    Tensor d_gated;
    OP_REQUIRES_OK(ctx, AllocateTemporary<T>(ctx, gated.shape(), &d_gated));
    OP_REQUIRES_OK(ctx, back.Run(gated.data(), d_gated.data()));
    OP_REQUIRES_OK(ctx, gated.Back(ctx, op, d_gated, d_gate, d_up));
  }

 private:
  bool wants_dx_ = true;
};

ROCIT_REGISTER("RocitSwigluLoraLinear", SwigluLoraLinearOp, .HostMemory("settings").HostMemory("seeds"));
ROCIT_REGISTER("RocitSwigluLoraLinearGrad", SwigluLoraLinearGradOp, .HostMemory("settings").HostMemory("seeds"));

}  // namespace
}  // namespace rocit
