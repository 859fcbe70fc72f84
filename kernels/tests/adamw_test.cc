// adamw over lists of tensors: against the float64 twin, norm and clipping, bad gradients, paths and threads.
#include "adamw.h"

#include <limits>

#include "check.h"
#include "reference/adamw.h"

namespace {

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

List MakeList(const std::vector<int64_t>& sizes, uint64_t seed, double scale, bool is_positive = false) {
  check::Random random(seed);
  List list;
  for (const int64_t size : sizes) {
    list.push_back(check::RandomValues(ROCIT_FLOAT32, size, &random, scale));
    for (int64_t i = 0; is_positive && i < size; ++i) list.back().Set(i, std::fabs(list.back().Get(i)));
  }
  return list;
}

std::vector<float*> Pointers(List* list) {
  std::vector<float*> pointers;
  for (Values& values : *list) pointers.push_back(static_cast<float*>(values.data()));
  return pointers;
}

reference::Vectors Doubles(const List& list) {
  reference::Vectors all;
  for (const Values& values : list) all.push_back(values.Doubles());
  return all;
}

struct Step {
  State state;
  RocitAdamwResult result;
};

Step Run(State before, List grads, const AdamwSettings& s, int threads) {
  std::vector<int64_t> sizes;
  Step after;
  for (const Values& values : before.params) sizes.push_back(values.size());
  for (List* list : {&after.state.params, &after.state.m, &after.state.v}) {
    for (const int64_t size : sizes) list->emplace_back(ROCIT_FLOAT32, size);
  }
  const auto p = Pointers(&before.params), g = Pointers(&grads), m = Pointers(&before.m), v = Pointers(&before.v);
  const auto new_p = Pointers(&after.state.params), new_m = Pointers(&after.state.m), new_v = Pointers(&after.state.v);
  const RocitAdamwArgs args = {static_cast<int64_t>(sizes.size()), sizes.data(), p.data(), g.data(), m.data(), v.data(),
                               new_p.data(), new_m.data(), new_v.data(), s.learning_rate, s.beta1, s.beta2, s.eps,
                               s.weight_decay, s.max_grad_norm, s.grad_scale, 1 - std::pow(s.beta1, s.step),
                               1 - std::pow(s.beta2, s.step)};
  check::Threads pool(threads);
  const RocitParallel parallel = pool.contract();
  after.result = rocit_adamw(&args, &parallel);
  return after;
}

void CompareWithTwin(const AdamwSettings& s, const State& before, const List& grads, const Step& got,
                     const std::string& name) {
  reference::Vectors p = Doubles(before.params), m = Doubles(before.m), v = Doubles(before.v);
  const double norm = reference::GradNorm(Doubles(grads), s.grad_scale);
  reference::Adamw(s, Doubles(grads), &p, &m, &v);
  check::That(std::fabs(got.result.grad_norm - norm) <= 1e-12 * norm, name + " gradient norm",
              std::to_string(got.result.grad_norm));
  check::That(got.result.bad_tensor == -1, name + " finds no bad gradient");
  for (size_t t = 0; t < p.size(); ++t) {
    const std::string tensor = name + " tensor " + std::to_string(t);
    check::IsNear(got.state.params[t], p[t], tensor + " p");
    check::IsNear(got.state.m[t], m[t], tensor + " m");
    check::IsNear(got.state.v[t], v[t], tensor + " v");
  }
}

void TestSettings(const AdamwSettings& s, const std::vector<int64_t>& sizes, const std::string& promise) {
  const State before = {MakeList(sizes, 1, 1), MakeList(sizes, 2, 0.1), MakeList(sizes, 3, 0.01, true)};
  const List grads = MakeList(sizes, 4, 0.3);
  const RocitPath best = rocit_path();
  rocit_force_path(ROCIT_PORTABLE);
  const Step portable = Run(before, grads, s, 1);
  rocit_force_path(best);
  check::OnEachPath(promise, [&](const std::string& name) {
    const Step one = Run(before, grads, s, 1);
    CompareWithTwin(s, before, grads, one, name);
    check::That(one.state == portable.state, name + " has the bits of the portable path");
    bool is_same = true;
    for (int threads = 2; threads <= 4; ++threads) {
      const Step step = Run(before, grads, s, threads);
      is_same = is_same && step.state == one.state && step.result.grad_norm == one.result.grad_norm;
    }
    check::That(is_same, name + " does not depend on the number of threads");
  });
}

void TestBadGradients(const AdamwSettings& s) {
  const std::vector<int64_t> sizes = {3, 40000, 17};
  const State before = {MakeList(sizes, 1, 1), MakeList(sizes, 2, 0.1), MakeList(sizes, 3, 0.01, true)};
  const double nan = std::numeric_limits<double>::quiet_NaN(), inf = std::numeric_limits<double>::infinity();
  check::OnEachPath("adamw", [&](const std::string& name) {
    for (const double bad : {nan, inf, -inf}) {
      List grads = MakeList(sizes, 4, 1);
      grads[1].Set(39999, bad);
      grads[2].Set(0, bad);
      const Step got = Run(before, grads, s, 3);
      check::That(got.result.bad_tensor == 1, name + " names the first bad tensor", std::to_string(got.result.bad_tensor));
      check::That(got.state == before, name + " leaves everything as it was after a bad gradient");
    }
    List large = MakeList(sizes, 4, 3e38);
    check::That(Run(before, large, s, 2).result.bad_tensor == -1, name + " accepts gradients whose squares overflow float32");
  });
}

void TestTenSteps(AdamwSettings s) {
  const std::vector<int64_t> sizes = {16, 5 * 123};
  State state = {MakeList(sizes, 1, 1), MakeList(sizes, 2, 0), MakeList(sizes, 3, 0)};
  reference::Vectors p = Doubles(state.params), m = Doubles(state.m), v = Doubles(state.v);
  for (s.step = 1; s.step <= 10; ++s.step) {
    const List grads = MakeList(sizes, 100 + s.step, 0.01);
    state = Run(state, grads, s, 2).state;
    reference::Adamw(s, Doubles(grads), &p, &m, &v);
  }
  for (size_t t = 0; t < sizes.size(); ++t) check::IsNear(state.params[t], p[t], "adamw stays with the twin over ten steps");
}

}  // namespace

int main() {
  const AdamwSettings plain = {1e-2, 0.9, 0.999, 1e-8, 0, 0, 1, 1};
  AdamwSettings full = {2e-3, 0.8, 0.95, 1e-6, 0.1, 1.0, 0.25, 7};
  TestSettings(plain, {5 * 123}, "adamw of one tensor");
  TestSettings(full, {1, 15, 16, 17, 0, 16384, 16385, 40001}, "adamw clipped, with decay");
  full.max_grad_norm = 1e9;
  TestSettings(full, {0}, "adamw of an empty tensor");
  TestSettings(full, {33, 2}, "adamw with a bound above the norm");
  TestBadGradients(plain);
  TestTenSteps(plain);
  TestTenSteps(full);
  return check::Finish("adamw");
}
