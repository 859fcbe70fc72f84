// The door of linear_cross_entropy: RocitLinearCrossEntropy. See include/linear_cross_entropy.h.
#include "linear_cross_entropy.h"

#include "door.h"

namespace rocit {
namespace {

using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShape;
using tensorflow::shape_inference::InferenceContext;

constexpr const char* kOp = "RocitLinearCrossEntropy";

REGISTER_OP("RocitLinearCrossEntropy")
    .Input("x: T")                 // [N, C]
    .Input("weight: T")            // [V, C]
    .Input("edge_rows: int32")     // [E], on the host, as the next two
    .Input("edge_targets: int32")  // [E]
    .Input("edge_weights: float")  // [E]
    .Output("loss: float")         // scalar
    .Output("edge_losses: float")  // [E]
    .Output("dx: T")               // [N, C], or [0] when not wanted
    .Attr("T: {float, bfloat16}")
    .Attr("wants_dx: bool")
    .SetShapeFn([](InferenceContext* c) {
      bool wants_dx = false;
      TF_RETURN_IF_ERROR(c->GetAttr("wants_dx", &wants_dx));
      c->set_output(0, c->Scalar());
      c->set_output(1, c->input(2));
      c->set_output(2, wants_dx ? c->input(0) : c->Vector(0));
      return absl::OkStatus();
    });

// Every index in [0, limit).
absl::Status CheckIndices(const char* name, const Tensor& tensor, int64_t limit) {
  const auto values = tensor.flat<tensorflow::int32>();
  for (int64_t e = 0; e < tensor.NumElements(); ++e) {
    if (values(e) >= 0 && values(e) < limit) continue;
    return Refuse(kOp, ": expected ", name, " in [0, ", limit, "), got ", values(e), " at edge ", e);
  }
  return absl::OkStatus();
}

template <class T>
class LinearCrossEntropyOp : public OpKernel {
 public:
  explicit LinearCrossEntropyOp(OpKernelConstruction* ctx) : OpKernel(ctx) {
    OP_REQUIRES_OK(ctx, ctx->GetAttr("wants_dx", &wants_dx_));
  }

  void Compute(OpKernelContext* ctx) override {
    const Tensor &x = ctx->input(0), &weight = ctx->input(1);
    const Tensor &rows = ctx->input(2), &targets = ctx->input(3), &weights = ctx->input(4);
    OP_REQUIRES_OK(ctx, CheckRank(kOp, "x", x, 2));
    OP_REQUIRES_OK(ctx, CheckRank(kOp, "weight", weight, 2));
    OP_REQUIRES_OK(ctx, CheckShape(kOp, "weight", weight, TensorShape({weight.dim_size(0), x.dim_size(1)})));
    OP_REQUIRES_OK(ctx, CheckRank(kOp, "edge_rows", rows, 1));
    OP_REQUIRES_OK(ctx, CheckShape(kOp, "edge_targets", targets, rows.shape()));
    OP_REQUIRES_OK(ctx, CheckShape(kOp, "edge_weights", weights, rows.shape()));
    OP_REQUIRES_OK(ctx, CheckIndices("edge_rows", rows, x.dim_size(0)));
    OP_REQUIRES_OK(ctx, CheckIndices("edge_targets", targets, weight.dim_size(0)));
    Tensor *loss = nullptr, *edge_losses = nullptr, *dx = nullptr;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, TensorShape({}), &loss));
    OP_REQUIRES_OK(ctx, ctx->allocate_output(1, rows.shape(), &edge_losses));
    OP_REQUIRES_OK(ctx, ctx->allocate_output(2, wants_dx_ ? x.shape() : TensorShape({0}), &dx));
    const RocitLinearCrossEntropyArgs args = {
        DtypeOf<T>(), x.dim_size(0), x.dim_size(1), weight.dim_size(0), rows.NumElements(), x.data(), weight.data(),
        rows.flat<tensorflow::int32>().data(), targets.flat<tensorflow::int32>().data(), weights.flat<float>().data(),
        loss->flat<float>().data(), edge_losses->flat<float>().data(), wants_dx_ ? dx->data() : nullptr};
    const RocitParallel parallel = MakeParallel(ctx);
    rocit_linear_cross_entropy(&args, &parallel);
  }

 private:
  bool wants_dx_ = true;
};

#define ROCIT_REGISTER(T)                                                                                           \
  REGISTER_KERNEL_BUILDER(Name("RocitLinearCrossEntropy").Device(tensorflow::DEVICE_CPU).TypeConstraint<T>("T"),    \
                          LinearCrossEntropyOp<T>)
ROCIT_REGISTER(float);
ROCIT_REGISTER(tensorflow::bfloat16);
#undef ROCIT_REGISTER

}  // namespace
}  // namespace rocit
