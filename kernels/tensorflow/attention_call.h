// What the doors of tree_attention share: reading and checking, running both directions on either device.
#ifndef ROCIT_TENSORFLOW_ATTENTION_CALL_H_
#define ROCIT_TENSORFLOW_ATTENTION_CALL_H_

#include <cmath>

#include "door.h"
#include "tree_attention.h"

namespace rocit {

struct AttentionAttributes {
  int64_t num_heads, num_key_value_heads;
  float scale;
};

inline absl::Status ReadAttention(const char* op, tensorflow::OpKernelConstruction* ctx, AttentionAttributes* to) {
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
inline absl::Status ReadAttention(const char* op, RocitDtype dtype, const AttentionAttributes& attributes,
                                  const tensorflow::Tensor& q, const tensorflow::Tensor& k, const tensorflow::Tensor& v,
                                  const tensorflow::Tensor& subtree_end, const tensorflow::Tensor& query_start,
                                  RocitTreeAttentionInputs* in) {
  const int64_t H = attributes.num_heads, K = attributes.num_key_value_heads;
  TF_RETURN_IF_ERROR(CheckRank(op, "q", q, 2));
  TF_RETURN_IF_ERROR(CheckRank(op, "k", k, 2));
  const int64_t N = q.dim_size(0), S = k.dim_size(0), D = q.dim_size(1) / H;
  if (D == 0 || q.dim_size(1) != H * D) {
    return Refuse(op, ": expected q of ", H, " heads of one size, got shape ", q.shape().DebugString());
  }
  TF_RETURN_IF_ERROR(CheckShape(op, "k", k, tensorflow::TensorShape({S, K * D})));
  TF_RETURN_IF_ERROR(CheckShape(op, "v", v, k.shape()));
  TF_RETURN_IF_ERROR(CheckShape(op, "subtree_end", subtree_end, tensorflow::TensorShape({S})));
  TF_RETURN_IF_ERROR(CheckShape(op, "query_start", query_start, tensorflow::TensorShape({})));
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

template <class Device>
absl::Status Attend(tensorflow::OpKernelContext* ctx, const char* op, RocitTreeAttentionArgs args) {
  if constexpr (kIsCuda<Device>) {
    CudaCall call(ctx, op);
    args.in.subtree_end = call.Upload(args.in.subtree_end, args.in.num_keys);
    const int64_t bytes = rocit_tree_attention_cuda_workspace(&args.in);
    return call.Run(bytes, [&](const RocitCuda* cuda) { return rocit_tree_attention_cuda(&args, cuda); });
  } else {
    const CallParallel parallel(ctx);
    rocit_tree_attention(&args, &parallel);
    return absl::OkStatus();
  }
}

// The workspace of `args` is made here.
template <class Device>
absl::Status AttendBack(tensorflow::OpKernelContext* ctx, const char* op, RocitTreeAttentionGradArgs args) {
  if constexpr (kIsCuda<Device>) {
    CudaCall call(ctx, op);
    args.in.subtree_end = call.Upload(args.in.subtree_end, args.in.num_keys);
    const int64_t bytes = rocit_tree_attention_grad_cuda_workspace(&args.in);
    return call.Run(bytes, [&](const RocitCuda* cuda) { return rocit_tree_attention_grad_cuda(&args, cuda); });
  } else {
    tensorflow::Tensor workspace;
    const int64_t words = rocit_tree_attention_grad_workspace(&args.in) / static_cast<int64_t>(sizeof(float));
    TF_RETURN_IF_ERROR(ctx->allocate_temp(tensorflow::DT_FLOAT, tensorflow::TensorShape({words}), &workspace));
    args.workspace = workspace.data();
    const CallParallel parallel(ctx);
    rocit_tree_attention_grad(&args, &parallel);
    return absl::OkStatus();
  }
}

}  // namespace rocit

#endif  // ROCIT_TENSORFLOW_ATTENTION_CALL_H_
