// rms_norm in front of lora_linear in one operation: RocitRmsNormLoraLinear and RocitRmsNormLoraLinearGrad. The normed rows
// live inside a call alone; backward makes them again, the same bits, so nobody keeps them.
#include "lora_projections.h"
#include "rms_norm.h"

namespace rocit {
namespace {

using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShape;
using tensorflow::shape_inference::InferenceContext;

// P projections; "or [0]" stands for none.
REGISTER_OP("RocitRmsNormLoraLinear")
    .Input("x: T")            // [N, in]
    .Input("residual: T")     // [N, in], or [0]
    .Input("norm_weight: T")  // [in]
    .Input("weights: P * T")  // the projections as RocitLoraLinear has them
    .Input("biases: P * T")
    .Input("a: P * float")
    .Input("b: P * float")
    .Input("settings: int32")
    .Input("seeds: int32")
    .Output("y: P * T")  // [N, out]
    .Output("z: float")  // [N, sum of R]
    .Output("sum: T")    // x + residual [N, in], or [0] without a residual
    .Attr("T: {float, bfloat16}")
    .Attr("P: int >= 1")
    .Attr("eps: float")
    .SetShapeFn([](InferenceContext* c) {
      c->set_output(c->num_outputs() - 1, c->input(1));
      return InferProjections(c, 3);
    });

REGISTER_OP("RocitRmsNormLoraLinearGrad")
    .Input("sum: T")          // [N, in]; x where there was no residual
    .Input("norm_weight: T")  // [in]
    .Input("weights: P * T")
    .Input("a: P * float")
    .Input("b: P * float")
    .Input("z: float")
    .Input("dy: P * T")  // [N, out], or [0]: zero
    .Input("settings: int32")
    .Input("seeds: int32")
    .Input("da_before: P * float")
    .Input("db_before: P * float")
    .Input("dsum: T")  // [N, in], or [0]: zero
    .Output("dx: T")   // [N, in], of the residual as well; [0] when not wanted
    .Output("da: P * float")
    .Output("db: P * float")
    .Attr("T: {float, bfloat16}")
    .Attr("P: int >= 1")
    .Attr("wants_dx: bool")
    .Attr("eps: float")
    .SetShapeFn([](InferenceContext* c) { return InferProjectionGradients(c, 1, 2); });

absl::Status ReadEps(const char* op, OpKernelConstruction* ctx, float* eps) {
  TF_RETURN_IF_ERROR(ctx->GetAttr("eps", eps));
  if (!(*eps >= 0) || !std::isfinite(*eps)) return Refuse(op, ": expected a finite eps >= 0, got ", *eps);
  return absl::OkStatus();
}

// The normed rows and what stands between them and the rows themselves.
template <class Device, class T>
class Normed {
 public:
  // `sum` is written where there is a residual.
  absl::Status Make(OpKernelContext* ctx, const char* op, float eps, const Tensor& x, const Tensor* residual,
                    const Tensor& weight, void* sum) {
    const int64_t rows = x.dim_size(0);
    TF_RETURN_IF_ERROR(AllocateTemporary<T>(ctx, x.shape(), &y_));
    TF_RETURN_IF_ERROR(AllocateTemporary<float>(ctx, TensorShape({rows}), &rstd_));
    const RocitRmsNormArgs args = {DtypeOf<T>(), rows, x.dim_size(1), eps, x.data(),
                                   residual == nullptr ? nullptr : residual->data(), weight.data(), y_.data(), sum,
                                   rstd_.flat<float>().data()};
    return RunOn<Device>(
        ctx, op, [&](const RocitParallel* parallel) { rocit_rms_norm(&args, parallel); },
        [&](const RocitCuda* cuda) { return rocit_rms_norm_cuda(&args, cuda); });
  }

  absl::Status Back(OpKernelContext* ctx, const char* op, const Tensor& dy, const Tensor* dsum, const Tensor& sum,
                    const Tensor& weight, Tensor* dx) {
    const RocitRmsNormGradArgs args = {DtypeOf<T>(), sum.dim_size(0), sum.dim_size(1), dy.data(),
                                       dsum == nullptr ? nullptr : dsum->data(), sum.data(), weight.data(),
                                       rstd_.flat<float>().data(), dx->data()};
    return RunOn<Device>(
        ctx, op, [&](const RocitParallel* parallel) { rocit_rms_norm_grad(&args, parallel); },
        [&](const RocitCuda* cuda) { return rocit_rms_norm_grad_cuda(&args, cuda); });
  }

  const void* data() const { return y_.data(); }

 private:
  Tensor y_, rstd_;
};

template <class Device, class T>
class RmsNormLoraLinearOp : public OpKernel {
 public:
  explicit RmsNormLoraLinearOp(OpKernelConstruction* ctx) : OpKernel(ctx) {
    OP_REQUIRES_OK(ctx, ReadEps("RocitRmsNormLoraLinear", ctx, &eps_));
  }

  void Compute(OpKernelContext* ctx) override {
    const char* op = "RocitRmsNormLoraLinear";
    const Tensor& x = ctx->input(0);
    const Tensor& residual = ctx->input(1);
    const Tensor& weight = ctx->input(2);
    OP_REQUIRES_OK(ctx, CheckRank(op, "x", x, 2));
    const int64_t rows = x.dim_size(0), in = x.dim_size(1);
    const bool has_residual = !IsNone(residual);
    if (has_residual) OP_REQUIRES_OK(ctx, CheckShape(op, "residual", residual, x.shape()));
    OP_REQUIRES_OK(ctx, CheckShape(op, "norm_weight", weight, TensorShape({in})));
    Projections projections;
    OP_REQUIRES_OK(ctx, projections.Read(ctx, op, in, true));
    Tensor* sum = nullptr;
    OP_REQUIRES_OK(ctx, ctx->allocate_output("sum", residual.shape(), &sum));
    Normed<Device, T> normed;
    OP_REQUIRES_OK(ctx, normed.Make(ctx, op, eps_, x, has_residual ? &residual : nullptr, weight, sum->data()));
    OP_REQUIRES_OK(ctx, (Project<Device, T>(ctx, op, projections, rows, in, normed.data())));
  }

 private:
  float eps_;
};

template <class Device, class T>
class RmsNormLoraLinearGradOp : public OpKernel {
 public:
  explicit RmsNormLoraLinearGradOp(OpKernelConstruction* ctx) : OpKernel(ctx) {
    OP_REQUIRES_OK(ctx, ReadEps("RocitRmsNormLoraLinearGrad", ctx, &eps_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("wants_dx", &wants_dx_));
  }

  void Compute(OpKernelContext* ctx) override {
    const char* op = "RocitRmsNormLoraLinearGrad";
    const Tensor& sum = ctx->input(0);
    const Tensor& weight = ctx->input(1);
    const Tensor* dsum = nullptr;
    OP_REQUIRES_OK(ctx, ctx->input("dsum", &dsum));
    OP_REQUIRES_OK(ctx, CheckRank(op, "sum", sum, 2));
    const int64_t rows = sum.dim_size(0), in = sum.dim_size(1);
    OP_REQUIRES_OK(ctx, CheckShape(op, "norm_weight", weight, TensorShape({in})));
    if (IsNone(*dsum)) dsum = nullptr;
    if (dsum != nullptr) OP_REQUIRES_OK(ctx, CheckShape(op, "dsum", *dsum, sum.shape()));
    Projections projections;
    OP_REQUIRES_OK(ctx, projections.Read(ctx, op, in, false));
    Tensor* dx = nullptr;
    OP_REQUIRES_OK(ctx, ctx->allocate_output("dx", wants_dx_ ? sum.shape() : TensorShape({0}), &dx));
    ProjectBack<Device, T> back(ctx, op, projections);
    OP_REQUIRES_OK(ctx, back.Read(rows, in));
    Normed<Device, T> normed;
    OP_REQUIRES_OK(ctx, normed.Make(ctx, op, eps_, sum, nullptr, weight, nullptr));
    if (!wants_dx_) {
      OP_REQUIRES_OK(ctx, back.Run(normed.data(), nullptr));
      return;
    }
    Tensor d_normed;
    OP_REQUIRES_OK(ctx, AllocateTemporary<T>(ctx, sum.shape(), &d_normed));
    OP_REQUIRES_OK(ctx, back.Run(normed.data(), d_normed.data()));
    OP_REQUIRES_OK(ctx, normed.Back(ctx, op, d_normed, dsum, sum, weight, dx));
  }

 private:
  float eps_;
  bool wants_dx_ = true;
};

ROCIT_REGISTER("RocitRmsNormLoraLinear", RmsNormLoraLinearOp, .HostMemory("settings").HostMemory("seeds"));
ROCIT_REGISTER("RocitRmsNormLoraLinearGrad", RmsNormLoraLinearGradOp, .HostMemory("settings").HostMemory("seeds"));

}  // namespace
}  // namespace rocit
