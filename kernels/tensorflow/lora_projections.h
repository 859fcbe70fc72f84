// What the doors of lora_linear share: reading projections, running both directions on an input that may have been made
// on the spot.
#ifndef ROCIT_TENSORFLOW_LORA_PROJECTIONS_H_
#define ROCIT_TENSORFLOW_LORA_PROJECTIONS_H_

#include <cmath>
#include <string>
#include <vector>

#include "door.h"
#include "lora_linear.h"

namespace rocit {

inline std::string Name(const char* list, int p) { return std::string(list) + "[" + std::to_string(p) + "]"; }

// Shapes of y and z, the first outputs, for rows as many as those of the first input; weights begin at `first_weight`.
inline absl::Status InferProjections(tensorflow::shape_inference::InferenceContext* c, int first_weight) {
  int count = 0;
  tensorflow::shape_inference::ShapeHandle x, weight;
  TF_RETURN_IF_ERROR(c->GetAttr("P", &count));
  TF_RETURN_IF_ERROR(c->WithRank(c->input(0), 2, &x));
  for (int p = 0; p < count; ++p) {
    TF_RETURN_IF_ERROR(c->WithRank(c->input(first_weight + p), 2, &weight));
    c->set_output(p, c->Matrix(c->Dim(x, 0), c->Dim(weight, 0)));
  }
  c->set_output(count, c->Matrix(c->Dim(x, 0), c->UnknownDim()));
  return absl::OkStatus();
}

// Of a gradient: so many outputs like the first inputs, or [0] when not wanted, then those like a and b.
inline absl::Status InferProjectionGradients(tensorflow::shape_inference::InferenceContext* c, int num_gradients,
                                             int first_weight) {
  int count = 0;
  bool wants_dx = false;
  TF_RETURN_IF_ERROR(c->GetAttr("P", &count));
  TF_RETURN_IF_ERROR(c->GetAttr("wants_dx", &wants_dx));
  for (int i = 0; i < num_gradients; ++i) c->set_output(i, wants_dx ? c->input(i) : c->Vector(0));
  for (int i = 0; i < 2 * count; ++i) c->set_output(num_gradients + i, c->input(first_weight + count + i));
  return absl::OkStatus();
}

// The projections of a call, checked.
class Projections {
 public:
  absl::Status Read(tensorflow::OpKernelContext* ctx, const char* op, int64_t in, bool has_biases) {
    tensorflow::OpInputList weights, biases, a, b;
    const tensorflow::Tensor *settings = nullptr, *seeds = nullptr;
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
    TF_RETURN_IF_ERROR(CheckShape(op, "settings", *settings, tensorflow::TensorShape({count, 2})));
    TF_RETURN_IF_ERROR(CheckShape(op, "seeds", *seeds, tensorflow::TensorShape({count})));
    for (int p = 0; p < count; ++p) {
      TF_RETURN_IF_ERROR(CheckRank(op, Name("weights", p).c_str(), weights[p], 2));
      const int64_t out = weights[p].dim_size(0);
      TF_RETURN_IF_ERROR(CheckShape(op, Name("weights", p).c_str(), weights[p], tensorflow::TensorShape({out, in})));
      const bool has_bias = has_biases && !IsNone(biases[p]);
      if (has_bias) TF_RETURN_IF_ERROR(CheckShape(op, Name("biases", p).c_str(), biases[p], tensorflow::TensorShape({out})));
      const bool has_adapter = !(IsNone(a[p]) && IsNone(b[p]));
      if (has_adapter) TF_RETURN_IF_ERROR(CheckRank(op, Name("a", p).c_str(), a[p], 2));
      const int64_t rank = has_adapter ? a[p].dim_size(0) : 0;
      if (has_adapter) {
        TF_RETURN_IF_ERROR(CheckShape(op, Name("a", p).c_str(), a[p], tensorflow::TensorShape({rank, in})));
        TF_RETURN_IF_ERROR(CheckShape(op, Name("b", p).c_str(), b[p], tensorflow::TensorShape({out, rank})));
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

// A tensor of this call alone.
template <class T>
absl::Status AllocateTemporary(tensorflow::OpKernelContext* ctx, const tensorflow::TensorShape& shape,
                               tensorflow::Tensor* to) {
  return ctx->allocate_temp(tensorflow::DataTypeToEnum<T>::value, shape, to);
}

// Allocates y and z and computes them from x [rows, in].
template <class Device, class T>
absl::Status Project(tensorflow::OpKernelContext* ctx, const char* op, const Projections& projections, int64_t rows,
                     int64_t in, const void* x) {
  tensorflow::OpOutputList outputs;
  TF_RETURN_IF_ERROR(ctx->output_list("y", &outputs));
  std::vector<void*> y;
  for (int p = 0; p < projections.size(); ++p) {
    tensorflow::Tensor* one = nullptr;
    TF_RETURN_IF_ERROR(outputs.allocate(p, tensorflow::TensorShape({rows, projections[p].out_features}), &one));
    y.push_back(one->data());
  }
  tensorflow::Tensor* z = nullptr;
  TF_RETURN_IF_ERROR(ctx->allocate_output("z", tensorflow::TensorShape({rows, projections.total_rank()}), &z));
  const RocitLoraLinearArgs args = {DtypeOf<T>(),       rows, in,       projections.size(),
                                    projections.data(), x,    y.data(), z->flat<float>().data()};
  return RunOn<Device>(
      ctx, op, [&](const RocitParallel* parallel) { rocit_lora_linear(&args, parallel); },
      [&](const RocitCuda* cuda) { return rocit_lora_linear_cuda(&args, cuda); },
      [&] { return rocit_lora_linear_cuda_workspace(&args); });
}

// The way back: z, dy and the sums before are read, da and db allocated, all of them computed.
template <class Device, class T>
class ProjectBack {
 public:
  ProjectBack(tensorflow::OpKernelContext* ctx, const char* op, const Projections& projections)
      : ctx_(ctx), op_(op), projections_(projections) {}

  absl::Status Read(int64_t rows, int64_t in) {
    rows_ = rows;
    in_ = in;
    TF_RETURN_IF_ERROR(ctx_->input("z", &z_));
    TF_RETURN_IF_ERROR(CheckShape(op_, "z", *z_, tensorflow::TensorShape({rows, projections_.total_rank()})));
    tensorflow::OpInputList gradients;
    TF_RETURN_IF_ERROR(ctx_->input_list("dy", &gradients));
    for (int p = 0; p < projections_.size(); ++p) {
      const bool is_none = IsNone(gradients[p]);
      const tensorflow::TensorShape expected({rows, projections_[p].out_features});
      if (!is_none) TF_RETURN_IF_ERROR(CheckShape(op_, Name("dy", p).c_str(), gradients[p], expected));
      dy_.push_back(is_none ? nullptr : gradients[p].data());
    }
    TF_RETURN_IF_ERROR(ReadBefore("a", "da_before", &da_before_));
    TF_RETURN_IF_ERROR(ReadBefore("b", "db_before", &db_before_));
    TF_RETURN_IF_ERROR(AllocateLike("a", "da", &da_));
    return AllocateLike("b", "db", &db_);
  }

  // dx null: not wanted.
  absl::Status Run(const void* x, void* dx) {
    const RocitLoraLinearGradArgs args = {DtypeOf<T>(), rows_, in_, projections_.size(), projections_.data(), x,
                                          z_->flat<float>().data(), dy_.data(), dx, da_.data(), db_.data(),
                                          da_before_.data(), db_before_.data()};
    return RunOn<Device>(
        ctx_, op_, [&](const RocitParallel* parallel) { rocit_lora_linear_grad(&args, parallel); },
        [&](const RocitCuda* cuda) { return rocit_lora_linear_grad_cuda(&args, cuda); },
        [&] { return rocit_lora_linear_grad_cuda_workspace(&args); });
  }

 private:
  // Sums in the shapes of the adapters, null where there is none.
  absl::Status ReadBefore(const char* adapters, const char* list, std::vector<const float*>* pointers) {
    tensorflow::OpInputList shapes, before;
    TF_RETURN_IF_ERROR(ctx_->input_list(adapters, &shapes));
    TF_RETURN_IF_ERROR(ctx_->input_list(list, &before));
    for (int p = 0; p < before.size(); ++p) {
      const bool is_none = IsNone(before[p]);
      if (!is_none) TF_RETURN_IF_ERROR(CheckShape(op_, Name(list, p).c_str(), before[p], shapes[p].shape()));
      pointers->push_back(is_none ? nullptr : before[p].flat<float>().data());
    }
    return absl::OkStatus();
  }

  absl::Status AllocateLike(const char* inputs, const char* outputs, std::vector<float*>* pointers) {
    tensorflow::OpInputList from;
    tensorflow::OpOutputList to;
    TF_RETURN_IF_ERROR(ctx_->input_list(inputs, &from));
    TF_RETURN_IF_ERROR(ctx_->output_list(outputs, &to));
    for (int p = 0; p < from.size(); ++p) {
      tensorflow::Tensor* one = nullptr;
      TF_RETURN_IF_ERROR(to.allocate(p, from[p].shape(), &one));
      pointers->push_back(one->flat<float>().data());
    }
    return absl::OkStatus();
  }

  tensorflow::OpKernelContext* ctx_;
  const char* op_;
  const Projections& projections_;
  int64_t rows_ = 0, in_ = 0;
  const tensorflow::Tensor* z_ = nullptr;
  std::vector<const void*> dy_;
  std::vector<const float*> da_before_, db_before_;
  std::vector<float*> da_, db_;
};

}  // namespace rocit

#endif  // ROCIT_TENSORFLOW_LORA_PROJECTIONS_H_
