// Cases of adamw over lists of tensors, their memory and the comparison with the float64 twin.
#ifndef ROCIT_TESTS_CASES_ADAMW_H_
#define ROCIT_TESTS_CASES_ADAMW_H_

#include <adamw.h>  // the contract: this file bears its name

#include <functional>
#include <limits>

#include "cases/compare.h"
#include "cases/memory.h"
#include "cases/timed.h"
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
  bool operator==(const Step& other) const {
    return state == other.state && result.grad_norm == other.result.grad_norm;
  }
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
};

struct Inputs {
  State before;
  List grads;

  explicit Inputs(const Case& c) : before(MakeState(c.sizes)), grads(MakeList(c.sizes, 4, 0.3)) {}
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

// A [rank, in] and B [out, rank] of the seven linears of each layer.
inline std::vector<int64_t> Adapters(int64_t layers, int64_t hidden, int64_t key_width, int64_t intermediate,
                                     int64_t rank) {
  const int64_t widths[][2] = {{hidden, hidden}, {hidden, key_width},    {hidden, key_width},   {hidden, hidden},
                               {hidden, intermediate}, {hidden, intermediate}, {intermediate, hidden}};
  std::vector<int64_t> sizes;
  for (int64_t layer = 0; layer < layers; ++layer) {
    for (const auto& [in, out] : widths) sizes.insert(sizes.end(), {rank * in, rank * out});
  }
  return sizes;
}

inline cases::Timed<Case> TimedCases() {
  const AdamwSettings settings = {1e-2, 0.9, 0.999, 1e-8, 0.01, 1.0, 1.0, 3};
  const std::vector<int64_t> smollm = Adapters(30, 576, 192, 1536, 16), llama = Adapters(32, 4096, 4096, 11008, 16);
  return {{{"SmolLM2-135M r=16", settings, smollm}, {"LLaMA-7B r=16", settings, llama}},
          {{"32 layers 4096/4096/11008 r=16", settings, llama}, {"30 layers 576/192/1536 r=16", settings, smollm}},
          {{"2 layers 20/12/36 r=3", settings, Adapters(2, 20, 12, 36, 3)}}};
}

inline reference::Vectors Doubles(const List& list) {
  reference::Vectors all;
  for (const Values& values : list) all.push_back(values.Doubles());
  return all;
}

inline std::vector<int64_t> SizesOf(const List& list) {
  std::vector<int64_t> sizes;
  for (const Values& values : list) sizes.push_back(values.size());
  return sizes;
}

// A list and the pointers to its tensors, as the arguments take them.
template <class Memory>
struct Pointed {
  std::vector<typename Memory::Tensor> tensors;
  std::vector<float*> pointers;

  // `shift`: as device::Tensor takes it.
  template <class... Shift>
  explicit Pointed(const List& list, Shift... shift) {
    for (const Values& values : list) tensors.emplace_back(values, shift...);
    Point();
  }
  template <class... Shift>
  explicit Pointed(const std::vector<int64_t>& sizes, Shift... shift) {
    for (const int64_t size : sizes) tensors.emplace_back(ROCIT_FLOAT32, size, shift...);
    Point();
  }
  List Read() {
    List list;
    for (auto& tensor : tensors) list.push_back(Memory::Read(tensor));
    return list;
  }

 private:
  void Point() {
    for (auto& tensor : tensors) pointers.push_back(cases::Floats(tensor));
  }
};

template <class Memory>
struct Tensors {
  AdamwSettings s;
  std::vector<int64_t> sizes;
  Pointed<Memory> p, g, m, v, new_p, new_m, new_v;

  template <class... Shift>
  Tensors(const AdamwSettings& settings, const State& before, const List& grads, Shift... shift)
      : s(settings), sizes(SizesOf(grads)), p(before.params, shift...), g(grads, shift...), m(before.m, shift...),
        v(before.v, shift...), new_p(sizes, shift...), new_m(sizes, shift...), new_v(sizes, shift...) {}
  RocitAdamwArgs Args() {
    return {static_cast<int64_t>(sizes.size()),
            sizes.data(),
            p.pointers.data(),
            g.pointers.data(),
            m.pointers.data(),
            v.pointers.data(),
            new_p.pointers.data(),
            new_m.pointers.data(),
            new_v.pointers.data(),
            s.learning_rate,
            s.beta1,
            s.beta2,
            s.eps,
            s.weight_decay,
            s.max_grad_norm,
            s.grad_scale,
            1 - std::pow(s.beta1, s.step),
            1 - std::pow(s.beta2, s.step)};
  }
  State Read() { return {new_p.Read(), new_m.Read(), new_v.Read()}; }
};

// `norm_bound`: the relative error that the gradient norm may have. Of each tensor at most 40,960 values, evenly
// spread.
inline void CompareWithTwin(const Case& c, const Inputs& in, const Step& got, double norm_bound,
                            const std::string& name) {
  const double norm = reference::GradNorm(Doubles(in.grads), c.settings.grad_scale);
  check::That(std::fabs(got.result.grad_norm - norm) <= norm_bound * norm, name + " gradient norm",
              std::to_string(got.result.grad_norm));
  check::That(got.result.bad_tensor == -1, name + " finds no bad gradient");
  for (size_t t = 0; t < c.sizes.size(); ++t) {
    const cases::Rows chosen = cases::Spread(c.sizes[t], 40960);
    const auto at = [&](const List& list) { return cases::Pick(list[t], 1, chosen); };
    reference::Vectors p = {at(in.before.params).Doubles()}, m = {at(in.before.m).Doubles()};
    reference::Vectors v = {at(in.before.v).Doubles()};
    reference::AdamwOfNorm(c.settings, norm, {at(in.grads).Doubles()}, &p, &m, &v);
    const std::string tensor = name + " tensor " + std::to_string(t);
    check::IsNear(at(got.state.params), p[0], tensor + " p");
    check::IsNear(at(got.state.m), m[0], tensor + " m");
    check::IsNear(at(got.state.v), v[0], tensor + " v");
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
