// tree_attention in front of lora_linear in one operation: RocitTreeAttentionLoraLinear and its gradient.
#include "attention_call.h"
#include "lora_projections.h"

namespace rocit {
namespace {

using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShape;
using tensorflow::shape_inference::InferenceContext;
using tensorflow::shape_inference::ShapeHandle;

// P projections of out [N, H * D]; "or [0]" stands for none.
REGISTER_OP("RocitTreeAttentionLoraLinear")
    .Input("q: T")                // as RocitTreeAttention has them
    .Input("k: T")
    .Input("v: T")
    .Input("subtree_end: int32")
    .Input("query_start: int32")
    .Input("weights: P * T")      // the projections as RocitLoraLinear has them
    .Input("biases: P * T")
    .Input("a: P * float")
    .Input("b: P * float")
    .Input("settings: int32")
    .Input("seeds: int32")
    .Output("y: P * T")    // [N, out]
    .Output("z: float")    // [N, sum of R]
    .Output("out: T")      // [N, H * D], for the gradient
    .Output("lse: float")  // [N, H], for the gradient
    .Attr("T: {float, bfloat16}")
    .Attr("P: int >= 1")
    .Attr("num_heads: int >= 1")
    .Attr("num_key_value_heads: int >= 1")
    .Attr("scale: float")
    .SetShapeFn([](InferenceContext* c) {
      int heads = 0;
      ShapeHandle q;
      TF_RETURN_IF_ERROR(c->GetAttr("num_heads", &heads));
      TF_RETURN_IF_ERROR(c->WithRank(c->input(0), 2, &q));
      c->set_output(c->num_outputs() - 2, q);
      c->set_output(c->num_outputs() - 1, c->Matrix(c->Dim(q, 0), heads));
      return InferProjections(c, 5);
    });

REGISTER_OP("RocitTreeAttentionLoraLinearGrad")
    .Input("q: T")
    .Input("k: T")
    .Input("v: T")
    .Input("out: T")
    .Input("lse: float")
    .Input("subtree_end: int32")
    .Input("query_start: int32")
    .Input("weights: P * T")
    .Input("a: P * float")
    .Input("b: P * float")
    .Input("z: float")
    .Input("dy: P * T")  // [N, out], or [0]: zero
    .Input("settings: int32")
    .Input("seeds: int32")
    .Input("da_before: P * float")
    .Input("db_before: P * float")
    .Output("dq: T")  // these three [0] when not wanted
    .Output("dk: T")
    .Output("dv: T")
    .Output("da: P * float")
    .Output("db: P * float")
    .Attr("T: {float, bfloat16}")
    .Attr("P: int >= 1")
    .Attr("wants_dx: bool")
    .Attr("num_heads: int >= 1")
    .Attr("num_key_value_heads: int >= 1")
    .Attr("scale: float")
    .SetShapeFn([](InferenceContext* c) { return InferProjectionGradients(c, 3, 7); });

template <class Device, class T>
class TreeAttentionLoraLinearOp : public OpKernel {
 public:
  explicit TreeAttentionLoraLinearOp(OpKernelConstruction* ctx) : OpKernel(ctx) {
    OP_REQUIRES_OK(ctx, ReadAttention("RocitTreeAttentionLoraLinear", ctx, &attributes_));
  }

  void Compute(OpKernelContext* ctx) override {
    const char* op = "RocitTreeAttentionLoraLinear";
    const Tensor& q = ctx->input(0);
    RocitTreeAttentionArgs args = {};
    OP_REQUIRES_OK(ctx, ReadAttention(op, DtypeOf<T>(), attributes_, q, ctx->input(1), ctx->input(2), ctx->input(3),
                                      ctx->input(4), &args.in));
    const int64_t rows = q.dim_size(0), in = q.dim_size(1);
    Projections projections;
    OP_REQUIRES_OK(ctx, projections.Read(ctx, op, in, true));
    Tensor *out = nullptr, *lse = nullptr;
    OP_REQUIRES_OK(ctx, ctx->allocate_output("out", q.shape(), &out));
    OP_REQUIRES_OK(ctx, ctx->allocate_output("lse", TensorShape({rows, args.in.num_heads}), &lse));
    args.out = out->data();
    args.lse = lse->flat<float>().data();
    OP_REQUIRES_OK(ctx, Attend<Device>(ctx, op, args));
    OP_REQUIRES_OK(ctx, (Project<Device, T>(ctx, op, projections, rows, in, args.out)));
  }

 private:
  AttentionAttributes attributes_;
};

template <class Device, class T>
class TreeAttentionLoraLinearGradOp : public OpKernel {
 public:
  explicit TreeAttentionLoraLinearGradOp(OpKernelConstruction* ctx) : OpKernel(ctx) {
    OP_REQUIRES_OK(ctx, ReadAttention("RocitTreeAttentionLoraLinearGrad", ctx, &attributes_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("wants_dx", &wants_dx_));
  }

  void Compute(OpKernelContext* ctx) override {
    const char* op = "RocitTreeAttentionLoraLinearGrad";
    const Tensor &q = ctx->input(0), &out = ctx->input(3), &lse = ctx->input(4);
    RocitTreeAttentionGradArgs args = {};
    OP_REQUIRES_OK(ctx, ReadAttention(op, DtypeOf<T>(), attributes_, q, ctx->input(1), ctx->input(2), ctx->input(5),
                                      ctx->input(6), &args.in));
    const int64_t rows = q.dim_size(0), in = q.dim_size(1);
    OP_REQUIRES_OK(ctx, CheckShape(op, "out", out, q.shape()));
    OP_REQUIRES_OK(ctx, CheckShape(op, "lse", lse, TensorShape({rows, args.in.num_heads})));
    Projections projections;
    OP_REQUIRES_OK(ctx, projections.Read(ctx, op, in, false));
    const char* names[] = {"dq", "dk", "dv"};
    void** gradients[] = {&args.dq, &args.dk, &args.dv};
    for (int i = 0; i < 3; ++i) {
      Tensor* gradient = nullptr;
      const TensorShape shape = wants_dx_ ? ctx->input(i).shape() : TensorShape({0});
      OP_REQUIRES_OK(ctx, ctx->allocate_output(names[i], shape, &gradient));
      *gradients[i] = gradient->data();
    }
    ProjectBack<Device, T> back(ctx, op, projections);
    OP_REQUIRES_OK(ctx, back.Read(rows, in));
    if (!wants_dx_) {
      OP_REQUIRES_OK(ctx, back.Run(out.data(), nullptr));
      return;
    }
    Tensor dout;
    OP_REQUIRES_OK(ctx, AllocateTemporary<T>(ctx, q.shape(), &dout));
    OP_REQUIRES_OK(ctx, back.Run(out.data(), dout.data()));
    args.dout = dout.data();
    args.out = out.data();
    args.lse = lse.flat<float>().data();
    OP_REQUIRES_OK(ctx, AttendBack<Device>(ctx, op, args));
  }

 private:
  AttentionAttributes attributes_;
  bool wants_dx_ = true;
};

ROCIT_REGISTER("RocitTreeAttentionLoraLinear", TreeAttentionLoraLinearOp,
               .HostMemory("subtree_end").HostMemory("query_start").HostMemory("settings").HostMemory("seeds"));
ROCIT_REGISTER("RocitTreeAttentionLoraLinearGrad", TreeAttentionLoraLinearGradOp,
               .HostMemory("subtree_end").HostMemory("query_start").HostMemory("settings").HostMemory("seeds"));

}  // namespace
}  // namespace rocit
