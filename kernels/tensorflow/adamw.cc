// The door of adamw: RocitAdamw. See include/adamw.h.
#include "adamw.h"

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

// learning_rate, beta1, beta2, eps, weight_decay, max_grad_norm, grad_scale, bias_correction1, bias_correction2
constexpr int kNumHyper = 9;

REGISTER_OP("RocitAdamw")
    .Input("params: N * float")
    .Input("grads: N * float")
    .Input("m: N * float")
    .Input("v: N * float")
    .Input("hyper: int32")  // [9], bits of floats on the host
    .Output("new_params: N * float")
    .Output("new_m: N * float")
    .Output("new_v: N * float")
    .Output("stats: float")  // [2]: gradient norm, first tensor with a bad gradient or -1
    .Attr("N: int >= 1")
    .SetShapeFn([](InferenceContext* c) {
      int count = 0;
      TF_RETURN_IF_ERROR(c->GetAttr("N", &count));
      for (int list = 0; list < 3; ++list) {
        for (int i = 0; i < count; ++i) c->set_output(list * count + i, c->input(i));
      }
      c->set_output(3 * count, c->Vector(2));
      return absl::OkStatus();
    });

// The decimal of at most six places that a person wrote, when the float is the nearest one to it: float(0.999) is off
// by 1e-8, which would put 1e-5 into 1 - beta2.
double Decimal(float value) {
  const double rounded = std::round(static_cast<double>(value) * 1e6) / 1e6;
  return static_cast<float>(rounded) == value ? rounded : static_cast<double>(value);
}

absl::Status CheckHyper(const float* h) {
  const auto is_fraction = [](float value) { return value >= 0 && value < 1; };
  for (int i = 0; i < kNumHyper; ++i) {
    if (!std::isfinite(h[i])) return Refuse("RocitAdamw: expected finite hyper values, got ", h[i], " at ", i);
  }
  if (!is_fraction(h[1]) || !is_fraction(h[2])) {
    return Refuse("RocitAdamw: expected betas in [0, 1), got ", h[1], " and ", h[2]);
  }
  if (h[3] < 0) return Refuse("RocitAdamw: expected eps >= 0, got ", h[3]);
  if (h[7] <= 0 || h[8] <= 0) return Refuse("RocitAdamw: expected bias corrections > 0, got ", h[7], " and ", h[8]);
  return absl::OkStatus();
}

// The four input lists and three output lists, with the pointers the contract wants.
struct Lists {
  std::vector<int64_t> sizes;
  std::vector<const float*> params, grads, m, v;
  std::vector<float*> new_params, new_m, new_v;
};

const float* Read(const Tensor& tensor) { return tensor.flat<float>().data(); }

template <class Device>
class AdamwOp : public OpKernel {
 public:
  explicit AdamwOp(OpKernelConstruction* ctx) : OpKernel(ctx) {}

  void Compute(OpKernelContext* ctx) override {
    const Tensor* hyper = nullptr;
    OP_REQUIRES_OK(ctx, ctx->input("hyper", &hyper));
    OP_REQUIRES_OK(ctx, CheckShape("RocitAdamw", "hyper", *hyper, TensorShape({kNumHyper})));
    const float* h = Floats(*hyper);
    OP_REQUIRES_OK(ctx, CheckHyper(h));
    Lists lists;
    OP_REQUIRES_OK(ctx, FillInputs(ctx, &lists));
    OP_REQUIRES_OK(ctx, FillOutputs(ctx, &lists));
    Tensor* stats = nullptr;
    OP_REQUIRES_OK(ctx, ctx->allocate_output("stats", TensorShape({2}), &stats));
    const RocitAdamwArgs args = {
        static_cast<int64_t>(lists.sizes.size()), lists.sizes.data(), lists.params.data(), lists.grads.data(),
        lists.m.data(), lists.v.data(), lists.new_params.data(), lists.new_m.data(), lists.new_v.data(),
        h[0], Decimal(h[1]), Decimal(h[2]), h[3], h[4], h[5], h[6], h[7], h[8]};
    float* found = stats->flat<float>().data();
    if constexpr (kIsCuda<Device>) {
      CudaCall call(ctx, "RocitAdamw");
      const int64_t bytes = rocit_adamw_cuda_workspace(&args);
      OP_REQUIRES_OK(ctx, call.Run(bytes, [&](const RocitCuda* cuda) { return rocit_adamw_cuda(&args, found, cuda); }));
    } else {
      const CallParallel parallel(ctx);
      const RocitAdamwResult result = rocit_adamw(&args, &parallel);
      found[0] = static_cast<float>(result.grad_norm);
      found[1] = static_cast<float>(result.bad_tensor);
    }
  }

 private:
  static absl::Status FillInputs(OpKernelContext* ctx, Lists* lists) {
    OpInputList params, others[3];
    const char* names[] = {"grads", "m", "v"};
    std::vector<const float*>* pointers[] = {&lists->grads, &lists->m, &lists->v};
    TF_RETURN_IF_ERROR(ctx->input_list("params", &params));
    for (int list = 0; list < 3; ++list) TF_RETURN_IF_ERROR(ctx->input_list(names[list], &others[list]));
    for (int i = 0; i < params.size(); ++i) {
      lists->sizes.push_back(params[i].NumElements());
      lists->params.push_back(Read(params[i]));
      for (int list = 0; list < 3; ++list) {
        const std::string name = std::string(names[list]) + "[" + std::to_string(i) + "]";
        TF_RETURN_IF_ERROR(CheckShape("RocitAdamw", name.c_str(), others[list][i], params[i].shape()));
        pointers[list]->push_back(Read(others[list][i]));
      }
    }
    return absl::OkStatus();
  }

  static absl::Status FillOutputs(OpKernelContext* ctx, Lists* lists) {
    const char* names[] = {"new_params", "new_m", "new_v"};
    std::vector<float*>* pointers[] = {&lists->new_params, &lists->new_m, &lists->new_v};
    for (int list = 0; list < 3; ++list) {
      OpOutputList outputs;
      TF_RETURN_IF_ERROR(ctx->output_list(names[list], &outputs));
      for (int i = 0; i < outputs.size(); ++i) {
        Tensor* tensor = nullptr;
        TF_RETURN_IF_ERROR(outputs.allocate(i, ctx->input(i).shape(), &tensor));
        pointers[list]->push_back(tensor->flat<float>().data());
      }
    }
    return absl::OkStatus();
  }
};

ROCIT_REGISTER_UNTYPED("RocitAdamw", AdamwOp, .HostMemory("hyper"));

}  // namespace
}  // namespace rocit
