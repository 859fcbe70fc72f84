// The door of rms_norm: RocitRmsNorm and RocitRmsNormGrad. See include/rms_norm.h.
#include "rms_norm.h"

#include <cmath>

#include "door.h"

namespace rocit {
namespace {

using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShape;
using tensorflow::shape_inference::InferenceContext;
using tensorflow::shape_inference::ShapeHandle;

REGISTER_OP("RocitRmsNorm")
    .Input("x: T")         // [N, C]
    .Input("residual: T")  // [N, C], or [0]: none
    .Input("weight: T")    // [C]
    .Output("y: T")        // [N, C]
    .Output("sum: T")      // [N, C], or [0] without residual
    .Output("rstd: float")
    .Attr("T: {float, bfloat16}")
    .Attr("eps: float")
    .SetShapeFn([](InferenceContext* c) {
      ShapeHandle x, weight;
      TF_RETURN_IF_ERROR(c->WithRank(c->input(0), 2, &x));
      TF_RETURN_IF_ERROR(c->WithRank(c->input(2), 1, &weight));
      c->set_output(0, x);
      c->set_output(1, c->input(1));
      c->set_output(2, c->Vector(c->Dim(x, 0)));
      return absl::OkStatus();
    });

REGISTER_OP("RocitRmsNormGrad")
    .Input("dy: T")      // [N, C]
    .Input("dsum: T")    // [N, C], or [0]: none
    .Input("sum: T")     // [N, C]
    .Input("weight: T")  // [C]
    .Input("rstd: float")
    .Output("dx: T")  // [N, C]
    .Attr("T: {float, bfloat16}")
    .SetShapeFn([](InferenceContext* c) {
      ShapeHandle dy;
      TF_RETURN_IF_ERROR(c->WithRank(c->input(0), 2, &dy));
      c->set_output(0, dy);
      return absl::OkStatus();
    });

template <class Device, class T>
class RmsNormOp : public OpKernel {
 public:
  explicit RmsNormOp(OpKernelConstruction* ctx) : OpKernel(ctx) {
    OP_REQUIRES_OK(ctx, ctx->GetAttr("eps", &eps_));
    OP_REQUIRES(ctx, std::isfinite(eps_) && eps_ >= 0, Refuse("RocitRmsNorm: expected eps >= 0, got ", eps_));
  }

  void Compute(OpKernelContext* ctx) override {
    const Tensor& x = ctx->input(0);
    const Tensor& residual = ctx->input(1);
    const Tensor& weight = ctx->input(2);
    OP_REQUIRES_OK(ctx, CheckRank("RocitRmsNorm", "x", x, 2));
    const int64_t rows = x.dim_size(0), columns = x.dim_size(1);
    const bool has_residual = !IsNone(residual);
    if (has_residual) OP_REQUIRES_OK(ctx, CheckShape("RocitRmsNorm", "residual", residual, x.shape()));
    OP_REQUIRES_OK(ctx, CheckShape("RocitRmsNorm", "weight", weight, TensorShape({columns})));
    Tensor *y = nullptr, *sum = nullptr, *rstd = nullptr;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, x.shape(), &y));
    OP_REQUIRES_OK(ctx, ctx->allocate_output(1, residual.shape(), &sum));
    OP_REQUIRES_OK(ctx, ctx->allocate_output(2, TensorShape({rows}), &rstd));
    const RocitRmsNormArgs args = {DtypeOf<T>(), rows, columns, eps_, x.data(), has_residual ? residual.data() : nullptr,
                                   weight.data(), y->data(), sum->data(), rstd->flat<float>().data()};
    const auto on_cpu = [&](const RocitParallel* parallel) { rocit_rms_norm(&args, parallel); };
    const auto on_cuda = [&](const RocitCuda* cuda) { return rocit_rms_norm_cuda(&args, cuda); };
    OP_REQUIRES_OK(ctx, RunOn<Device>(ctx, "RocitRmsNorm", on_cpu, on_cuda));
  }

 private:
  float eps_;
};

template <class Device, class T>
class RmsNormGradOp : public OpKernel {
 public:
  explicit RmsNormGradOp(OpKernelConstruction* ctx) : OpKernel(ctx) {}

  void Compute(OpKernelContext* ctx) override {
    const Tensor& dy = ctx->input(0);
    const Tensor& dsum = ctx->input(1);
    const Tensor& sum = ctx->input(2);
    const Tensor& weight = ctx->input(3);
    const Tensor& rstd = ctx->input(4);
    OP_REQUIRES_OK(ctx, CheckRank("RocitRmsNormGrad", "dy", dy, 2));
    const int64_t rows = dy.dim_size(0), columns = dy.dim_size(1);
    const bool has_dsum = !IsNone(dsum);
    if (has_dsum) OP_REQUIRES_OK(ctx, CheckShape("RocitRmsNormGrad", "dsum", dsum, dy.shape()));
    OP_REQUIRES_OK(ctx, CheckShape("RocitRmsNormGrad", "sum", sum, dy.shape()));
    OP_REQUIRES_OK(ctx, CheckShape("RocitRmsNormGrad", "weight", weight, TensorShape({columns})));
    OP_REQUIRES_OK(ctx, CheckShape("RocitRmsNormGrad", "rstd", rstd, TensorShape({rows})));
    Tensor* dx = nullptr;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, dy.shape(), &dx));
    const RocitRmsNormGradArgs args = {DtypeOf<T>(), rows, columns, dy.data(), has_dsum ? dsum.data() : nullptr,
                                       sum.data(), weight.data(), rstd.flat<float>().data(), dx->data()};
    const auto on_cpu = [&](const RocitParallel* parallel) { rocit_rms_norm_grad(&args, parallel); };
    const auto on_cuda = [&](const RocitCuda* cuda) { return rocit_rms_norm_grad_cuda(&args, cuda); };
    OP_REQUIRES_OK(ctx, RunOn<Device>(ctx, "RocitRmsNormGrad", on_cpu, on_cuda));
  }
};

ROCIT_REGISTER("RocitRmsNorm", RmsNormOp);
ROCIT_REGISTER("RocitRmsNormGrad", RmsNormGradOp);

}  // namespace
}  // namespace rocit
