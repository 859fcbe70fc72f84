// The door of rope: RocitRope. See include/rope.h.
#include "rope.h"

#include "door.h"

namespace rocit {
namespace {

using tensorflow::OpInputList;
using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::OpOutputList;
using tensorflow::Tensor;
using tensorflow::TensorShape;
using tensorflow::shape_inference::InferenceContext;
using tensorflow::shape_inference::ShapeHandle;

REGISTER_OP("RocitRope")
    .Input("x: P * T")             // [N, heads * head_dim], queries and keys for example
    .Input("position_ids: int32")  // [N], on the host
    .Input("inv_freq: int32")      // [rotary_dim / 2], bits of floats on the host
    .Output("y: P * T")            // as x
    .Attr("T: {float, bfloat16}")
    .Attr("P: int >= 1")
    .Attr("head_dim: int >= 1")
    .Attr("interleaved: bool")
    .Attr("direction: int")  // 1, or -1: the inverse rotation
    .SetShapeFn([](InferenceContext* c) {
      ShapeHandle x;
      for (int p = 0; p < c->num_outputs(); ++p) {
        TF_RETURN_IF_ERROR(c->WithRank(c->input(p), 2, &x));
        c->set_output(p, x);
      }
      return absl::OkStatus();
    });

template <class Device, class T>
class RopeOp : public OpKernel {
 public:
  explicit RopeOp(OpKernelConstruction* ctx) : OpKernel(ctx) {
    OP_REQUIRES_OK(ctx, ctx->GetAttr("head_dim", &head_dim_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("interleaved", &interleaved_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("direction", &direction_));
    OP_REQUIRES(ctx, head_dim_ >= 1, Refuse("RocitRope: expected head_dim >= 1, got ", head_dim_));
    OP_REQUIRES(ctx, direction_ == 1 || direction_ == -1, Refuse("RocitRope: expected direction 1 or -1, got ", direction_));
  }

  void Compute(OpKernelContext* ctx) override {
    OpInputList x;
    OpOutputList y;
    OP_REQUIRES_OK(ctx, ctx->input_list("x", &x));
    OP_REQUIRES_OK(ctx, ctx->output_list("y", &y));
    const Tensor& position_ids = ctx->input(x.size());
    const Tensor& inv_freq = ctx->input(x.size() + 1);
    OP_REQUIRES_OK(ctx, CheckRank("RocitRope", "position_ids", position_ids, 1));
    OP_REQUIRES_OK(ctx, CheckRank("RocitRope", "inv_freq", inv_freq, 1));
    const int64_t rows = position_ids.dim_size(0);
    const int64_t rotary_dim = 2 * inv_freq.dim_size(0);
    OP_REQUIRES(ctx, rotary_dim <= head_dim_,
                Refuse("RocitRope: expected inv_freq to turn at most ", head_dim_, " channels, got ", rotary_dim));
    RocitRopeArgs args = {DtypeOf<T>(), rows, head_dim_, rotary_dim, interleaved_, static_cast<int>(direction_),
                          position_ids.flat<int32_t>().data(), Floats(inv_freq), 0, {}};
    OP_REQUIRES(ctx, x.size() <= ROCIT_ROPE_MOST_TENSORS,
                Refuse("RocitRope: expected at most ", ROCIT_ROPE_MOST_TENSORS, " tensors, got ", x.size()));
    for (int p = 0; p < x.size(); ++p) {
      const std::string name = Join("x[", p, "]");
      OP_REQUIRES_OK(ctx, CheckRank("RocitRope", name.c_str(), x[p], 2));
      const int64_t width = x[p].dim_size(1);
      OP_REQUIRES(ctx, width % head_dim_ == 0,
                  Refuse("RocitRope: expected head_dim ", head_dim_, " to divide the width of ", name, ", got ", width));
      OP_REQUIRES_OK(ctx, CheckShape("RocitRope", name.c_str(), x[p], TensorShape({rows, width})));
      Tensor* one = nullptr;
      OP_REQUIRES_OK(ctx, y.allocate(p, x[p].shape(), &one));
      args.tensors[args.num_tensors++] = {width / head_dim_, width, width, x[p].data(), one->data()};
    }
    if constexpr (kIsCuda<Device>) {
      CudaCall call(ctx, "RocitRope");
      args.position_ids = call.Upload(args.position_ids, rows);
      args.inv_freq = call.Upload(args.inv_freq, rotary_dim / 2);
      OP_REQUIRES_OK(ctx, call.Run(0, [&](const RocitCuda* cuda) { return rocit_rope_cuda(&args, cuda); }));
    } else {
      const CallParallel parallel(ctx);
      rocit_rope(&args, &parallel);
    }
  }

 private:
  int64_t head_dim_, direction_;
  bool interleaved_;
};

ROCIT_REGISTER("RocitRope", RopeOp, .HostMemory("position_ids").HostMemory("inv_freq"));

}  // namespace
}  // namespace rocit
