// The door of tree_attention: RocitTreeAttention and RocitTreeAttentionGrad. See include/tree_attention.h.
#include "tree_attention.h"

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

struct Attributes {
  int64_t num_heads, num_key_value_heads;
  float scale;
};

absl::Status ReadAttributes(const char* op, OpKernelConstruction* ctx, Attributes* to) {
  TF_RETURN_IF_ERROR(ctx->GetAttr("num_heads", &to->num_heads));
  TF_RETURN_IF_ERROR(ctx->GetAttr("num_key_value_heads", &to->num_key_value_heads));
  TF_RETURN_IF_ERROR(ctx->GetAttr("scale", &to->scale));
  if (to->num_heads % to->num_key_value_heads != 0) {
    return Refuse(op, ": expected num_heads to be a multiple of num_key_value_heads, got ", to->num_heads, " and ",
                  to->num_key_value_heads);
  }
  if (!std::isfinite(to->scale)) return Refuse(op, ": expected a finite scale, got ", to->scale);
  return absl::OkStatus();
}

// Checks shapes and values of what both directions read.
absl::Status ReadInputs(const char* op, RocitDtype dtype, const Attributes& attributes, const Tensor& q, const Tensor& k,
                        const Tensor& v, const Tensor& subtree_end, const Tensor& query_start,
                        RocitTreeAttentionInputs* in) {
  const int64_t H = attributes.num_heads, K = attributes.num_key_value_heads;
  TF_RETURN_IF_ERROR(CheckRank(op, "q", q, 2));
  TF_RETURN_IF_ERROR(CheckRank(op, "k", k, 2));
  const int64_t N = q.dim_size(0), S = k.dim_size(0), D = q.dim_size(1) / H;
  if (D == 0 || q.dim_size(1) != H * D) {
    return Refuse(op, ": expected q of ", H, " heads of one size, got shape ", q.shape().DebugString());
  }
  TF_RETURN_IF_ERROR(CheckShape(op, "k", k, TensorShape({S, K * D})));
  TF_RETURN_IF_ERROR(CheckShape(op, "v", v, k.shape()));
  TF_RETURN_IF_ERROR(CheckShape(op, "subtree_end", subtree_end, TensorShape({S})));
  TF_RETURN_IF_ERROR(CheckShape(op, "query_start", query_start, TensorShape({})));
  const int64_t start = query_start.scalar<int32_t>()();
  if (start < 0 || start + N != S) {
    return Refuse(op, ": expected the queries to end with the ", S, " keys, got query_start ", start, " and ", N,
                  " queries");
  }
  const int32_t* ends = subtree_end.flat<int32_t>().data();
  const int64_t bad = rocit_tree_attention_bad_bound(ends, S);
  if (bad >= 0) {
    return Refuse(op, ": expected subtree_end to nest, each beyond its key and at most the end around it or ", S, ", got ",
                  ends[bad], " at ", bad);
  }
  *in = {dtype, N, S, H, K, D, start, attributes.scale, ends, q.data(), k.data(), v.data()};
  return absl::OkStatus();
}

template <class Device, class T>
class TreeAttentionOp : public OpKernel {
 public:
  explicit TreeAttentionOp(OpKernelConstruction* ctx) : OpKernel(ctx) {
    OP_REQUIRES_OK(ctx, ReadAttributes("RocitTreeAttention", ctx, &attributes_));
  }

  void Compute(OpKernelContext* ctx) override {
    RocitTreeAttentionArgs args = {};
    OP_REQUIRES_OK(ctx, ReadInputs("RocitTreeAttention", DtypeOf<T>(), attributes_, ctx->input(0), ctx->input(1),
                                   ctx->input(2), ctx->input(3), ctx->input(4), &args.in));
    Tensor *out = nullptr, *lse = nullptr;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, ctx->input(0).shape(), &out));
    OP_REQUIRES_OK(ctx, ctx->allocate_output(1, TensorShape({args.in.num_queries, args.in.num_heads}), &lse));
    args.out = out->data();
    args.lse = lse->flat<float>().data();
    if constexpr (kIsCuda<Device>) {
      CudaCall call(ctx, "RocitTreeAttention");
      args.in.subtree_end = call.Upload(args.in.subtree_end, args.in.num_keys);
      const int64_t bytes = rocit_tree_attention_cuda_workspace(&args.in);
      OP_REQUIRES_OK(ctx, call.Run(bytes, [&](const RocitCuda* cuda) { return rocit_tree_attention_cuda(&args, cuda); }));
    } else {
      const CallParallel parallel(ctx);
      rocit_tree_attention(&args, &parallel);
    }
  }

 private:
  Attributes attributes_;
};

template <class Device, class T>
class TreeAttentionGradOp : public OpKernel {
 public:
  explicit TreeAttentionGradOp(OpKernelConstruction* ctx) : OpKernel(ctx) {
    OP_REQUIRES_OK(ctx, ReadAttributes("RocitTreeAttentionGrad", ctx, &attributes_));
  }

  void Compute(OpKernelContext* ctx) override {
    const char* op = "RocitTreeAttentionGrad";
    const Tensor &dout = ctx->input(0), &q = ctx->input(1), &out = ctx->input(4), &lse = ctx->input(5);
    RocitTreeAttentionGradArgs args = {};
    OP_REQUIRES_OK(ctx, ReadInputs(op, DtypeOf<T>(), attributes_, q, ctx->input(2), ctx->input(3), ctx->input(6),
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
    if constexpr (kIsCuda<Device>) {
      CudaCall call(ctx, op);
      args.in.subtree_end = call.Upload(args.in.subtree_end, args.in.num_keys);
      const int64_t bytes = rocit_tree_attention_grad_cuda_workspace(&args.in);
      OP_REQUIRES_OK(ctx,
                     call.Run(bytes, [&](const RocitCuda* cuda) { return rocit_tree_attention_grad_cuda(&args, cuda); }));
    } else {
      Tensor workspace;
      const int64_t words = rocit_tree_attention_grad_workspace(&args.in) / static_cast<int64_t>(sizeof(float));
      OP_REQUIRES_OK(ctx, ctx->allocate_temp(tensorflow::DT_FLOAT, TensorShape({words}), &workspace));
      args.workspace = workspace.data();
      const CallParallel parallel(ctx);
      rocit_tree_attention_grad(&args, &parallel);
    }
  }

 private:
  Attributes attributes_;
};

ROCIT_REGISTER("RocitTreeAttention", TreeAttentionOp, .HostMemory("subtree_end").HostMemory("query_start"));
ROCIT_REGISTER("RocitTreeAttentionGrad", TreeAttentionGradOp, .HostMemory("subtree_end").HostMemory("query_start"));

}  // namespace
}  // namespace rocit
