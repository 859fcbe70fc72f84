// The door of tree_attention: RocitTreeAttention and RocitTreeAttentionGrad. See include/tree_attention.h.
#include "attention_call.h"

namespace rocit {
namespace {

using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShape;
using tensorflow::shape_inference::InferenceContext;
using tensorflow::shape_inference::ShapeHandle;

// query_start is an input, since eager TensorFlow keeps a kernel for every value of an attribute.
REGISTER_OP("RocitTreeAttention")
    .Input("q: T")                // [N, H * D]
    .Input("k: T")                // [S, K * D]
    .Input("v: T")                // [S, K * D]
    .Input("subtree_end: int32")  // [S], on the host
    .Input("query_start: int32")  // scalar, on the host
    .Output("out: T")             // [N, H * D]
    .Output("lse: float")         // [N, H]
    .Attr("T: {float, bfloat16}")
    .Attr("num_heads: int >= 1")
    .Attr("num_key_value_heads: int >= 1")
    .Attr("scale: float")
    .SetShapeFn([](InferenceContext* c) {
      ShapeHandle q;
      int heads = 0;
      TF_RETURN_IF_ERROR(c->WithRank(c->input(0), 2, &q));
      TF_RETURN_IF_ERROR(c->GetAttr("num_heads", &heads));
      c->set_output(0, q);
      c->set_output(1, c->Matrix(c->Dim(q, 0), heads));
      return absl::OkStatus();
    });

REGISTER_OP("RocitTreeAttentionGrad")
    .Input("dout: T")             // [N, H * D]
    .Input("q: T")                // [N, H * D]
    .Input("k: T")                // [S, K * D]
    .Input("v: T")                // [S, K * D]
    .Input("out: T")              // [N, H * D]
    .Input("lse: float")          // [N, H]
    .Input("subtree_end: int32")  // [S], on the host
    .Input("query_start: int32")  // scalar, on the host
    .Output("dq: T")
    .Output("dk: T")
    .Output("dv: T")
    .Attr("T: {float, bfloat16}")
    .Attr("num_heads: int >= 1")
    .Attr("num_key_value_heads: int >= 1")
    .Attr("scale: float")
    .SetShapeFn([](InferenceContext* c) {
      for (int i = 0; i < 3; ++i) c->set_output(i, c->input(i + 1));
      return absl::OkStatus();
    });

template <class Device, class T>
class TreeAttentionOp : public OpKernel {
 public:
  explicit TreeAttentionOp(OpKernelConstruction* ctx) : OpKernel(ctx) {
    OP_REQUIRES_OK(ctx, ReadAttention("RocitTreeAttention", ctx, &attributes_));
  }

  void Compute(OpKernelContext* ctx) override {
    RocitTreeAttentionArgs args = {};
    OP_REQUIRES_OK(ctx, ReadAttention("RocitTreeAttention", DtypeOf<T>(), attributes_, ctx->input(0), ctx->input(1),
                                      ctx->input(2), ctx->input(3), ctx->input(4), &args.in));
    Tensor *out = nullptr, *lse = nullptr;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, ctx->input(0).shape(), &out));
    OP_REQUIRES_OK(ctx, ctx->allocate_output(1, TensorShape({args.in.num_queries, args.in.num_heads}), &lse));
    args.out = out->data();
    args.lse = lse->flat<float>().data();
    OP_REQUIRES_OK(ctx, Attend<Device>(ctx, "RocitTreeAttention", args));
  }

 private:
  AttentionAttributes attributes_;
};

template <class Device, class T>
class TreeAttentionGradOp : public OpKernel {
 public:
  explicit TreeAttentionGradOp(OpKernelConstruction* ctx) : OpKernel(ctx) {
    OP_REQUIRES_OK(ctx, ReadAttention("RocitTreeAttentionGrad", ctx, &attributes_));
  }

  void Compute(OpKernelContext* ctx) override {
    const char* op = "RocitTreeAttentionGrad";
    const Tensor &dout = ctx->input(0), &q = ctx->input(1), &out = ctx->input(4), &lse = ctx->input(5);
    RocitTreeAttentionGradArgs args = {};
    OP_REQUIRES_OK(ctx, ReadAttention(op, DtypeOf<T>(), attributes_, q, ctx->input(2), ctx->input(3), ctx->input(6),
                                      ctx->input(7), &args.in));
    OP_REQUIRES_OK(ctx, CheckShape(op, "dout", dout, q.shape()));
    OP_REQUIRES_OK(ctx, CheckShape(op, "out", out, q.shape()));
    OP_REQUIRES_OK(ctx, CheckShape(op, "lse", lse, TensorShape({args.in.num_queries, args.in.num_heads})));
    void** gradients[] = {&args.dq, &args.dk, &args.dv};
    for (int i = 0; i < 3; ++i) {
      Tensor* gradient = nullptr;
      OP_REQUIRES_OK(ctx, ctx->allocate_output(i, ctx->input(i + 1).shape(), &gradient));
      *gradients[i] = gradient->data();
    }
    args.dout = dout.data();
    args.out = out.data();
    args.lse = lse.flat<float>().data();
    OP_REQUIRES_OK(ctx, AttendBack<Device>(ctx, op, args));
  }

 private:
  AttentionAttributes attributes_;
};

ROCIT_REGISTER("RocitTreeAttention", TreeAttentionOp, .HostMemory("subtree_end").HostMemory("query_start"));
ROCIT_REGISTER("RocitTreeAttentionGrad", TreeAttentionGradOp, .HostMemory("subtree_end").HostMemory("query_start"));

}  // namespace
}  // namespace rocit
