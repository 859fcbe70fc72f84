// Cases of adamw over lists of tensors, their inputs and the comparison with the float64 twin, for every implementation.
#ifndef ROCIT_TESTS_CASES_ADAMW_H_
#define ROCIT_TESTS_CASES_ADAMW_H_

#include <adamw.h>  // the contract: this file bears its name

#include <functional>
#include <limits>

#include "check.h"
#include "reference/adamw.h"

namespace adamw {

using check::Values;
using reference::AdamwSettings;

using List = std::vector<Values>;

struct State {
  List params, m, v;
  bool operator==(const State& other) const {
    const auto same = [](const List& a, const List& b) {
      for (size_t i = 0; i < a.size(); ++i) {
        if (a[i].bytes != b[i].bytes) return false;
      }
      return a.size() == b.size();
    };
    return same(params, other.params) && same(m, other.m) && same(v, other.v);
  }
};

struct Step {
  State state;
  RocitAdamwResult result;
};

// One step of an implementation: the new state, where the old one and the gradients stay as they are.
using Run = std::function<Step(const State& before, const List& grads, const AdamwSettings& settings)>;

inline List MakeList(const std::vector<int64_t>& sizes, uint64_t seed, double scale, bool is_positive = false) {
  check::Random random(seed);
  List list;
  for (const int64_t size : sizes) {
    list.push_back(check::RandomValues(ROCIT_FLOAT32, size, &random, scale));
    for (int64_t i = 0; is_positive && i < size; ++i) list.back().Set(i, std::fabs(list.back().Get(i)));
  }
  return list;
}

inline State MakeState(const std::vector<int64_t>& sizes) {
  return {MakeList(sizes, 1, 1), MakeList(sizes, 2, 0.1), MakeList(sizes, 3, 0.01, true)};
}

struct Case {
  std::string name;
  AdamwSettings settings;
  std::vector<int64_t> sizes;

  State Before() const { return MakeState(sizes); }
  List Grads() const { return MakeList(sizes, 4, 0.3); }
};

inline constexpr AdamwSettings kPlain = {1e-2, 0.9, 0.999, 1e-8, 0, 0, 1, 1};
inline constexpr AdamwSettings kFull = {2e-3, 0.8, 0.95, 1e-6, 0.1, 1.0, 0.25, 7};

inline std::vector<Case> Cases() {
  AdamwSettings loose = kFull;
  loose.max_grad_norm = 1e9;
  return {{"adamw of one tensor", kPlain, {5 * 123}},
          {"adamw clipped, with decay", kFull, {1, 15, 16, 17, 0, 16384, 16385, 40001}},
          {"adamw of an empty tensor", loose, {0}},
          {"adamw with a bound above the norm", loose, {33, 2}}};
}

inline std::vector<float*> Pointers(List* list) {
  std::vector<float*> pointers;
  for (Values& values : *list) pointers.push_back(static_cast<float*>(values.data()));
  return pointers;
}

inline reference::Vectors Doubles(const List& list) {
  reference::Vectors all;
  for (const Values& values : list) all.push_back(values.Doubles());
  return all;
}

// The arguments but for the lists of pointers.
inline RocitAdamwArgs ArgsOf(const AdamwSettings& s, const std::vector<int64_t>& sizes) {
  RocitAdamwArgs args = {};
  args.num_tensors = static_cast<int64_t>(sizes.size());
  args.sizes = sizes.data();
  args.learning_rate = s.learning_rate;
  args.beta1 = s.beta1;
  args.beta2 = s.beta2;
  args.eps = s.eps;
  args.weight_decay = s.weight_decay;
  args.max_grad_norm = s.max_grad_norm;
  args.grad_scale = s.grad_scale;
  args.bias_correction1 = 1 - std::pow(s.beta1, s.step);
  args.bias_correction2 = 1 - std::pow(s.beta2, s.step);
  return args;
}

inline std::vector<int64_t> SizesOf(const List& list) {
  std::vector<int64_t> sizes;
  for (const Values& values : list) sizes.push_back(values.size());
  return sizes;
}

// `norm_bound`: the relative error that the gradient norm may have.
inline void CompareWithTwin(const Case& c, const Step& got, double norm_bound, const std::string& name) {
  const State before = c.Before();
  const reference::Vectors grads = Doubles(c.Grads());
  reference::Vectors p = Doubles(before.params), m = Doubles(before.m), v = Doubles(before.v);
  const double norm = reference::GradNorm(grads, c.settings.grad_scale);
  reference::Adamw(c.settings, grads, &p, &m, &v);
  check::That(std::fabs(got.result.grad_norm - norm) <= norm_bound * norm, name + " gradient norm",
              std::to_string(got.result.grad_norm));
  check::That(got.result.bad_tensor == -1, name + " finds no bad gradient");
  for (size_t t = 0; t < p.size(); ++t) {
    const std::string tensor = name + " tensor " + std::to_string(t);
    check::IsNear(got.state.params[t], p[t], tensor + " p");
    check::IsNear(got.state.m[t], m[t], tensor + " m");
    check::IsNear(got.state.v[t], v[t], tensor + " v");
  }
}

inline void TestBadGradients(const Run& run, const std::string& name) {
  const std::vector<int64_t> sizes = {3, 40000, 17};
  const State before = MakeState(sizes);
  const double nan = std::numeric_limits<double>::quiet_NaN(), inf = std::numeric_limits<double>::infinity();
  for (const double bad : {nan, inf, -inf}) {
    List grads = MakeList(sizes, 4, 1);
    grads[1].Set(39999, bad);
    grads[2].Set(0, bad);
    const Step got = run(before, grads, kPlain);
    check::That(got.result.bad_tensor == 1, name + " names the first bad tensor", std::to_string(got.result.bad_tensor));
    check::That(got.state == before, name + " leaves everything as it was after a bad gradient");
  }
  const List large = MakeList(sizes, 4, 3e38);
  check::That(run(before, large, kPlain).result.bad_tensor == -1,
              name + " accepts gradients whose squares overflow float32");
}

inline void TestTenSteps(AdamwSettings s, const Run& run, const std::string& name) {
  const std::vector<int64_t> sizes = {16, 5 * 123};
  State state = {MakeList(sizes, 1, 1), MakeList(sizes, 2, 0), MakeList(sizes, 3, 0)};
  reference::Vectors p = Doubles(state.params), m = Doubles(state.m), v = Doubles(state.v);
  for (s.step = 1; s.step <= 10; ++s.step) {
    const List grads = MakeList(sizes, 100 + s.step, 0.01);
    state = run(state, grads, s).state;
    reference::Adamw(s, Doubles(grads), &p, &m, &v);
  }
  for (size_t t = 0; t < sizes.size(); ++t) check::IsNear(state.params[t], p[t], name + " stays with the twin over ten steps");
}

}  // namespace adamw

#endif  // ROCIT_TESTS_CASES_ADAMW_H_
