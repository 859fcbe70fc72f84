// The door of embedding: RocitEmbedding. See include/embedding.h.
#include "embedding.h"

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

REGISTER_OP("RocitEmbedding")
    .Input("weight: T")   // [V, C]
    .Input("ids: int32")  // [N], on the host
    .Output("y: T")       // [N, C]
    .Attr("T: {float, bfloat16}")
    .SetShapeFn([](InferenceContext* c) {
      ShapeHandle weight, ids;
      TF_RETURN_IF_ERROR(c->WithRank(c->input(0), 2, &weight));
      TF_RETURN_IF_ERROR(c->WithRank(c->input(1), 1, &ids));
      c->set_output(0, c->Matrix(c->Dim(ids, 0), c->Dim(weight, 1)));
      return absl::OkStatus();
    });

template <class Device, class T>
class EmbeddingOp : public OpKernel {
 public:
  explicit EmbeddingOp(OpKernelConstruction* ctx) : OpKernel(ctx) {}

  void Compute(OpKernelContext* ctx) override {
    const Tensor& weight = ctx->input(0);
    const Tensor& ids = ctx->input(1);
    OP_REQUIRES_OK(ctx, CheckRank("RocitEmbedding", "weight", weight, 2));
    OP_REQUIRES_OK(ctx, CheckRank("RocitEmbedding", "ids", ids, 1));
    const int64_t count = ids.dim_size(0);
    Tensor* y = nullptr;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, TensorShape({count, weight.dim_size(1)}), &y));
    const int32_t* values = ids.flat<int32_t>().data();
    for (int64_t i = 0; i < count; ++i) {
      OP_REQUIRES(ctx, values[i] >= 0 && values[i] < weight.dim_size(0),
                  Refuse("RocitEmbedding: expected ids in [0, ", weight.dim_size(0), "), got ", values[i], " at index ", i));
    }
    RocitEmbeddingArgs args = {DtypeOf<T>(),  weight.dim_size(0), weight.dim_size(1), count,
                               weight.data(), values,             y->data()};
    if constexpr (kIsCuda<Device>) {
      CudaCall call(ctx, "RocitEmbedding");
      args.ids = call.Upload(values, count);
      OP_REQUIRES_OK(ctx, call.Run(0, [&](const RocitCuda* cuda) { return rocit_embedding_cuda(&args, cuda); }));
    } else {
      const CallParallel parallel(ctx);
      rocit_embedding(&args, &parallel);
    }
  }
};

ROCIT_REGISTER("RocitEmbedding", EmbeddingOp, .HostMemory("ids"));

}  // namespace
}  // namespace rocit
