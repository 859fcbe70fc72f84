// The door of linear_cross_entropy: RocitLinearCrossEntropy. See include/linear_cross_entropy.h.
#include "linear_cross_entropy.h"

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

constexpr const char* kOp = "RocitLinearCrossEntropy";

REGISTER_OP("RocitLinearCrossEntropy")
    .Input("x: T")                 // [N, C]
    .Input("weight: T")            // [V, C]
    .Input("edge_rows: int32")     // [E], on the host, as the next two
    .Input("edge_targets: int32")  // [E]
    .Input("edge_weights: int32")  // [E], bits of floats
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
  const auto values = tensor.flat<int32_t>();
  for (int64_t e = 0; e < tensor.NumElements(); ++e) {
    if (values(e) >= 0 && values(e) < limit) continue;
    return Refuse(kOp, ": expected ", name, " in [0, ", limit, "), got ", values(e), " at edge ", e);
  }
  return absl::OkStatus();
}

absl::Status CheckWeights(const Tensor& tensor) {
  const float* weights = Floats(tensor);
  for (int64_t e = 0; e < tensor.NumElements(); ++e) {
    if (!std::isfinite(weights[e])) return Refuse(kOp, ": expected finite edge_weights, got ", weights[e], " at edge ", e);
  }
  return absl::OkStatus();
}

template <class Device, class T>
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
    OP_REQUIRES_OK(ctx, CheckWeights(weights));
    Tensor *loss = nullptr, *edge_losses = nullptr, *dx = nullptr;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, TensorShape({}), &loss));
    OP_REQUIRES_OK(ctx, ctx->allocate_output(1, rows.shape(), &edge_losses));
    OP_REQUIRES_OK(ctx, ctx->allocate_output(2, wants_dx_ ? x.shape() : TensorShape({0}), &dx));
    RocitLinearCrossEntropyArgs args = {
        DtypeOf<T>(), x.dim_size(0), x.dim_size(1), weight.dim_size(0), rows.NumElements(), x.data(), weight.data(),
        rows.flat<int32_t>().data(), targets.flat<int32_t>().data(), Floats(weights),
        loss->flat<float>().data(), edge_losses->flat<float>().data(), wants_dx_ ? dx->data() : nullptr};
    if constexpr (kIsCuda<Device>) {
      CudaCall call(ctx, kOp);
      args.edge_rows = call.Upload(args.edge_rows, args.num_edges);
      args.edge_targets = call.Upload(args.edge_targets, args.num_edges);
      args.edge_weights = call.Upload(args.edge_weights, args.num_edges);
      const int64_t bytes = rocit_linear_cross_entropy_cuda_workspace(&args);
      OP_REQUIRES_OK(ctx,
                     call.Run(bytes, [&](const RocitCuda* cuda) { return rocit_linear_cross_entropy_cuda(&args, cuda); }));
    } else {
      const CallParallel parallel(ctx);
      rocit_linear_cross_entropy(&args, &parallel);
    }
  }

 private:
  bool wants_dx_ = true;
};

ROCIT_REGISTER("RocitLinearCrossEntropy", LinearCrossEntropyOp,
               .HostMemory("edge_rows").HostMemory("edge_targets").HostMemory("edge_weights"));

}  // namespace
}  // namespace rocit
