// The door of lora_linear: RocitLoraLinear and RocitLoraLinearGrad. See include/lora_linear.h.
#include "lora_linear.h"

#include <cmath>
#include <vector>

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

// P projections; "or [0]" stands for none.
REGISTER_OP("RocitLoraLinear")
    .Input("x: T")              // [N, in]
    .Input("weights: P * T")    // [out, in]
    .Input("biases: P * T")     // [out], or [0]
    .Input("a: P * float")      // [R, in], or [0]
    .Input("b: P * float")      // [out, R], or [0]
    .Input("settings: int32")   // [P, 2], bits of floats on the host: scaling, dropout
    .Input("seeds: int32")      // [P], on the host
    .Output("y: P * T")         // [N, out]
    .Output("z: float")         // [N, sum of R]
    .Attr("T: {float, bfloat16}")
    .Attr("P: int >= 1")
    .SetShapeFn([](InferenceContext* c) {
      int count = 0;
      ShapeHandle x, weight;
      TF_RETURN_IF_ERROR(c->GetAttr("P", &count));
      TF_RETURN_IF_ERROR(c->WithRank(c->input(0), 2, &x));
      for (int p = 0; p < count; ++p) {
        TF_RETURN_IF_ERROR(c->WithRank(c->input(1 + p), 2, &weight));
        c->set_output(p, c->Matrix(c->Dim(x, 0), c->Dim(weight, 0)));
      }
      c->set_output(count, c->Matrix(c->Dim(x, 0), c->UnknownDim()));
      return absl::OkStatus();
    });

REGISTER_OP("RocitLoraLinearGrad")
    .Input("x: T")
    .Input("weights: P * T")
    .Input("a: P * float")
    .Input("b: P * float")
    .Input("z: float")
    .Input("dy: P * T")  // [N, out], or [0]: zero
    .Input("settings: int32")
    .Input("seeds: int32")
    .Input("da_before: P * float")  // as a, what da is added to; or [0]: zero
    .Input("db_before: P * float")  // as b
    .Output("dx: T")          // [N, in], or [0] when not wanted
    .Output("da: P * float")  // as a
    .Output("db: P * float")  // as b
    .Attr("T: {float, bfloat16}")
    .Attr("P: int >= 1")
    .Attr("wants_dx: bool")
    .SetShapeFn([](InferenceContext* c) {
      int count = 0;
      bool wants_dx = false;
      TF_RETURN_IF_ERROR(c->GetAttr("P", &count));
      TF_RETURN_IF_ERROR(c->GetAttr("wants_dx", &wants_dx));
      c->set_output(0, wants_dx ? c->input(0) : c->Vector(0));
      for (int i = 0; i < 2 * count; ++i) c->set_output(1 + i, c->input(1 + count + i));
      return absl::OkStatus();
    });

std::string Name(const char* list, int p) { return std::string(list) + "[" + std::to_string(p) + "]"; }

// The projections of a call, checked.
class Projections {
 public:
  absl::Status Read(OpKernelContext* ctx, const char* op, const Tensor& x, bool has_biases) {
    TF_RETURN_IF_ERROR(CheckRank(op, "x", x, 2));
    OpInputList weights, biases, a, b;
    const Tensor *settings = nullptr, *seeds = nullptr;
    TF_RETURN_IF_ERROR(ctx->input_list("weights", &weights));
    if (has_biases) TF_RETURN_IF_ERROR(ctx->input_list("biases", &biases));
    TF_RETURN_IF_ERROR(ctx->input_list("a", &a));
    TF_RETURN_IF_ERROR(ctx->input_list("b", &b));
    TF_RETURN_IF_ERROR(ctx->input("settings", &settings));
    TF_RETURN_IF_ERROR(ctx->input("seeds", &seeds));
    const int count = weights.size();
    if (count > ROCIT_LORA_MOST_PROJECTIONS) {
      return Refuse(op, ": expected at most ", ROCIT_LORA_MOST_PROJECTIONS, " projections, got ", count);
    }
    TF_RETURN_IF_ERROR(CheckShape(op, "settings", *settings, TensorShape({count, 2})));
    TF_RETURN_IF_ERROR(CheckShape(op, "seeds", *seeds, TensorShape({count})));
    for (int p = 0; p < count; ++p) {
      TF_RETURN_IF_ERROR(CheckRank(op, Name("weights", p).c_str(), weights[p], 2));
      const int64_t out = weights[p].dim_size(0), in = x.dim_size(1);
      TF_RETURN_IF_ERROR(CheckShape(op, Name("weights", p).c_str(), weights[p], TensorShape({out, in})));
      const bool has_bias = has_biases && !IsNone(biases[p]);
      if (has_bias) TF_RETURN_IF_ERROR(CheckShape(op, Name("biases", p).c_str(), biases[p], TensorShape({out})));
      const bool has_adapter = !(IsNone(a[p]) && IsNone(b[p]));
      if (has_adapter) TF_RETURN_IF_ERROR(CheckRank(op, Name("a", p).c_str(), a[p], 2));
      const int64_t rank = has_adapter ? a[p].dim_size(0) : 0;
      if (has_adapter) {
        TF_RETURN_IF_ERROR(CheckShape(op, Name("a", p).c_str(), a[p], TensorShape({rank, in})));
        TF_RETURN_IF_ERROR(CheckShape(op, Name("b", p).c_str(), b[p], TensorShape({out, rank})));
      }
      const float scaling = Floats(*settings)[2 * p], dropout = Floats(*settings)[2 * p + 1];
      if (!std::isfinite(scaling)) return Refuse(op, ": expected a finite scaling, got ", scaling, " of ", Name("b", p));
      if (!(dropout >= 0 && dropout < 1)) {
        return Refuse(op, ": expected dropout in [0, 1), got ", dropout, " of ", Name("a", p));
      }
      total_ += rank;
      all_.push_back({out, rank, weights[p].data(), has_bias ? biases[p].data() : nullptr, a[p].flat<float>().data(),
                      b[p].flat<float>().data(), scaling, dropout,
                      static_cast<uint32_t>(seeds->flat<int32_t>()(p))});
    }
    return absl::OkStatus();
  }
  const RocitLoraProjection* data() const { return all_.data(); }
  const RocitLoraProjection& operator[](int p) const { return all_[p]; }
  int size() const { return static_cast<int>(all_.size()); }
  int64_t total_rank() const { return total_; }

 private:
  std::vector<RocitLoraProjection> all_;
  int64_t total_ = 0;
};

template <class Device, class T>
class LoraLinearOp : public OpKernel {
 public:
  explicit LoraLinearOp(OpKernelConstruction* ctx) : OpKernel(ctx) {}

  void Compute(OpKernelContext* ctx) override {
    const Tensor& x = ctx->input(0);
    Projections projections;
    OP_REQUIRES_OK(ctx, projections.Read(ctx, "RocitLoraLinear", x, true));
    const int64_t rows = x.dim_size(0);
    OpOutputList outputs;
    OP_REQUIRES_OK(ctx, ctx->output_list("y", &outputs));
    std::vector<void*> y;
    for (int p = 0; p < projections.size(); ++p) {
      Tensor* one = nullptr;
      OP_REQUIRES_OK(ctx, outputs.allocate(p, TensorShape({rows, projections[p].out_features}), &one));
      y.push_back(one->data());
    }
    Tensor* z = nullptr;
    OP_REQUIRES_OK(ctx, ctx->allocate_output("z", TensorShape({rows, projections.total_rank()}), &z));
    const RocitLoraLinearArgs args = {DtypeOf<T>(),       rows,     x.dim_size(1), projections.size(),
                                      projections.data(), x.data(), y.data(),      z->flat<float>().data()};
    if constexpr (kIsCuda<Device>) {
      CudaCall call(ctx, "RocitLoraLinear");
      const int64_t bytes = rocit_lora_linear_cuda_workspace(&args);
      OP_REQUIRES_OK(ctx, call.Run(bytes, [&](const RocitCuda* cuda) { return rocit_lora_linear_cuda(&args, cuda); }));
    } else {
      const CallParallel parallel(ctx);
      rocit_lora_linear(&args, &parallel);
    }
  }
};

template <class Device, class T>
class LoraLinearGradOp : public OpKernel {
 public:
  explicit LoraLinearGradOp(OpKernelConstruction* ctx) : OpKernel(ctx) {
    OP_REQUIRES_OK(ctx, ctx->GetAttr("wants_dx", &wants_dx_));
  }

  void Compute(OpKernelContext* ctx) override {
    const char* op = "RocitLoraLinearGrad";
    const Tensor& x = ctx->input(0);
    Projections projections;
    OP_REQUIRES_OK(ctx, projections.Read(ctx, op, x, false));
    const int64_t rows = x.dim_size(0);
    const Tensor* z = nullptr;
    OP_REQUIRES_OK(ctx, ctx->input("z", &z));
    OP_REQUIRES_OK(ctx, CheckShape(op, "z", *z, TensorShape({rows, projections.total_rank()})));
    OpInputList gradients;
    OP_REQUIRES_OK(ctx, ctx->input_list("dy", &gradients));
    std::vector<const void*> dy;
    for (int p = 0; p < projections.size(); ++p) {
      const bool is_none = IsNone(gradients[p]);
      const TensorShape expected({rows, projections[p].out_features});
      if (!is_none) OP_REQUIRES_OK(ctx, CheckShape(op, Name("dy", p).c_str(), gradients[p], expected));
      dy.push_back(is_none ? nullptr : gradients[p].data());
    }
    Tensor* dx = nullptr;
    OP_REQUIRES_OK(ctx, ctx->allocate_output("dx", wants_dx_ ? x.shape() : TensorShape({0}), &dx));
    std::vector<const float*> da_before, db_before;
    OP_REQUIRES_OK(ctx, ReadBefore(ctx, "a", "da_before", &da_before));
    OP_REQUIRES_OK(ctx, ReadBefore(ctx, "b", "db_before", &db_before));
    std::vector<float*> da, db;
    OP_REQUIRES_OK(ctx, AllocateLike(ctx, "a", "da", &da));
    OP_REQUIRES_OK(ctx, AllocateLike(ctx, "b", "db", &db));
    const RocitLoraLinearGradArgs args = {DtypeOf<T>(), rows, x.dim_size(1), projections.size(), projections.data(),
                                          x.data(), z->flat<float>().data(), dy.data(),
                                          wants_dx_ ? dx->data() : nullptr, da.data(), db.data(),
                                          da_before.data(), db_before.data()};
    if constexpr (kIsCuda<Device>) {
      CudaCall call(ctx, op);
      const int64_t bytes = rocit_lora_linear_grad_cuda_workspace(&args);
      OP_REQUIRES_OK(ctx, call.Run(bytes, [&](const RocitCuda* cuda) { return rocit_lora_linear_grad_cuda(&args, cuda); }));
    } else {
      const CallParallel parallel(ctx);
      rocit_lora_linear_grad(&args, &parallel);
    }
  }

 private:
  // Sums in the shapes of the adapters, null where there is none.
  static absl::Status ReadBefore(OpKernelContext* ctx, const char* adapters, const char* list,
                                 std::vector<const float*>* pointers) {
    OpInputList shapes, before;
    TF_RETURN_IF_ERROR(ctx->input_list(adapters, &shapes));
    TF_RETURN_IF_ERROR(ctx->input_list(list, &before));
    for (int p = 0; p < before.size(); ++p) {
      const bool is_none = IsNone(before[p]);
      if (!is_none) {
        TF_RETURN_IF_ERROR(CheckShape("RocitLoraLinearGrad", Name(list, p).c_str(), before[p], shapes[p].shape()));
      }
      pointers->push_back(is_none ? nullptr : before[p].flat<float>().data());
    }
    return absl::OkStatus();
  }

  static absl::Status AllocateLike(OpKernelContext* ctx, const char* inputs, const char* outputs,
                                   std::vector<float*>* pointers) {
    OpInputList from;
    OpOutputList to;
    TF_RETURN_IF_ERROR(ctx->input_list(inputs, &from));
    TF_RETURN_IF_ERROR(ctx->output_list(outputs, &to));
    for (int p = 0; p < from.size(); ++p) {
      Tensor* one = nullptr;
      TF_RETURN_IF_ERROR(to.allocate(p, from[p].shape(), &one));
      pointers->push_back(one->flat<float>().data());
    }
    return absl::OkStatus();
  }

  bool wants_dx_ = true;
};

ROCIT_REGISTER("RocitLoraLinear", LoraLinearOp, .HostMemory("settings").HostMemory("seeds"));
ROCIT_REGISTER("RocitLoraLinearGrad", LoraLinearGradOp, .HostMemory("settings").HostMemory("seeds"));

}  // namespace
}  // namespace rocit
