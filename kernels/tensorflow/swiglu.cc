// The door of swiglu: RocitSwiglu and RocitSwigluGrad. See include/swiglu.h.
#include "swiglu.h"

#include "door.h"

namespace rocit {
namespace {

using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::shape_inference::InferenceContext;
using tensorflow::shape_inference::ShapeHandle;

REGISTER_OP("RocitSwiglu")
    .Input("gate: T")  // [N, F]
    .Input("up: T")    // [N, F]
    .Output("y: T")    // [N, F]
    .Attr("T: {float, bfloat16}")
    .SetShapeFn([](InferenceContext* c) {
      ShapeHandle gate;
      TF_RETURN_IF_ERROR(c->WithRank(c->input(0), 2, &gate));
      c->set_output(0, gate);
      return absl::OkStatus();
    });

REGISTER_OP("RocitSwigluGrad")
    .Input("dy: T")       // [N, F]
    .Input("gate: T")     // [N, F]
    .Input("up: T")       // [N, F]
    .Output("d_gate: T")  // [N, F]
    .Output("d_up: T")    // [N, F]
    .Attr("T: {float, bfloat16}")
    .SetShapeFn([](InferenceContext* c) {
      ShapeHandle dy;
      TF_RETURN_IF_ERROR(c->WithRank(c->input(0), 2, &dy));
      c->set_output(0, dy);
      c->set_output(1, dy);
      return absl::OkStatus();
    });

template <class Device, class T>
class SwigluOp : public OpKernel {
 public:
  explicit SwigluOp(OpKernelConstruction* ctx) : OpKernel(ctx) {}

  void Compute(OpKernelContext* ctx) override {
    const Tensor& gate = ctx->input(0);
    const Tensor& up = ctx->input(1);
    OP_REQUIRES_OK(ctx, CheckRank("RocitSwiglu", "gate", gate, 2));
    OP_REQUIRES_OK(ctx, CheckShape("RocitSwiglu", "up", up, gate.shape()));
    const int64_t rows = gate.dim_size(0), size = gate.dim_size(1);
    Tensor* y = nullptr;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, gate.shape(), &y));
    const RocitSwigluArgs args = {DtypeOf<T>(), rows, size, size, size, size, gate.data(), up.data(), y->data()};
    const auto on_cpu = [&](const RocitParallel* parallel) { rocit_swiglu(&args, parallel); };
    const auto on_cuda = [&](const RocitCuda* cuda) { return rocit_swiglu_cuda(&args, cuda); };
    OP_REQUIRES_OK(ctx, RunOn<Device>(ctx, "RocitSwiglu", on_cpu, on_cuda));
  }
};

template <class Device, class T>
class SwigluGradOp : public OpKernel {
 public:
  explicit SwigluGradOp(OpKernelConstruction* ctx) : OpKernel(ctx) {}

  void Compute(OpKernelContext* ctx) override {
    const Tensor& dy = ctx->input(0);
    const Tensor& gate = ctx->input(1);
    const Tensor& up = ctx->input(2);
    OP_REQUIRES_OK(ctx, CheckRank("RocitSwigluGrad", "dy", dy, 2));
    OP_REQUIRES_OK(ctx, CheckShape("RocitSwigluGrad", "gate", gate, dy.shape()));
    OP_REQUIRES_OK(ctx, CheckShape("RocitSwigluGrad", "up", up, dy.shape()));
    const int64_t rows = dy.dim_size(0), size = dy.dim_size(1);
    Tensor *d_gate = nullptr, *d_up = nullptr;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, dy.shape(), &d_gate));
    OP_REQUIRES_OK(ctx, ctx->allocate_output(1, dy.shape(), &d_up));
    const RocitSwigluGradArgs args = {DtypeOf<T>(), rows, size, size, size, size, size, size,
                                      dy.data(), gate.data(), up.data(), d_gate->data(), d_up->data()};
    const auto on_cpu = [&](const RocitParallel* parallel) { rocit_swiglu_grad(&args, parallel); };
    const auto on_cuda = [&](const RocitCuda* cuda) { return rocit_swiglu_grad_cuda(&args, cuda); };
    OP_REQUIRES_OK(ctx, RunOn<Device>(ctx, "RocitSwigluGrad", on_cpu, on_cuda));
  }
};

ROCIT_REGISTER("RocitSwiglu", SwigluOp);
ROCIT_REGISTER("RocitSwigluGrad", SwigluGradOp);

}  // namespace
}  // namespace rocit
