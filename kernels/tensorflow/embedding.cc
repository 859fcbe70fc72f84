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
    .Input("ids: int32")  // [N]
    .Output("y: T")       // [N, C]
    .Attr("T: {float, bfloat16}")
    .SetShapeFn([](InferenceContext* c) {
      ShapeHandle weight, ids;
      TF_RETURN_IF_ERROR(c->WithRank(c->input(0), 2, &weight));
      TF_RETURN_IF_ERROR(c->WithRank(c->input(1), 1, &ids));
      c->set_output(0, c->Matrix(c->Dim(ids, 0), c->Dim(weight, 1)));
      return absl::OkStatus();
    });

template <class T>
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
    const RocitEmbeddingArgs args = {DtypeOf<T>(),  weight.dim_size(0), weight.dim_size(1), count,
                                     weight.data(), values,             y->data()};
    const RocitParallel parallel = MakeParallel(ctx);
    const int64_t bad = rocit_embedding(&args, &parallel);
    OP_REQUIRES(ctx, bad < 0, Refuse("RocitEmbedding: expected ids in [0, ", weight.dim_size(0), "), got ",
                                     bad < 0 ? 0 : values[bad], " at index ", bad));
  }
};

#define ROCIT_REGISTER(T) \
  REGISTER_KERNEL_BUILDER(Name("RocitEmbedding").Device(tensorflow::DEVICE_CPU).TypeConstraint<T>("T"), EmbeddingOp<T>)
ROCIT_REGISTER(float);
ROCIT_REGISTER(tensorflow::bfloat16);
#undef ROCIT_REGISTER

}  // namespace
}  // namespace rocit
