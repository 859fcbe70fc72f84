// Cases of rope, their tensors and what the float64 twin makes of them; angles.
#ifndef ROCIT_TESTS_CASES_ROPE_H_
#define ROCIT_TESTS_CASES_ROPE_H_

#include <rope.h>  // the contract: this file bears its name

#include "cases/memory.h"
#include "cases/timed.h"
#include "check.h"
#include "reference/rope.h"

namespace rope {

using check::Values;

struct Case {
  RocitDtype dtype;
  int64_t rows;
  std::vector<int64_t> heads;  // of each tensor
  int64_t head_dim, rotary_dim;
  bool interleaved;
  int64_t gap;  // elements between a row's end and the next row
  int32_t top;  // positions are below

  size_t NumTensors() const { return heads.size(); }
  int64_t Width(size_t t) const { return heads[t] * head_dim; }
  int64_t Stride(size_t t) const { return Width(t) + gap; }
  std::string Shape() const {
    std::string all;
    for (const int64_t some : heads) all += (all.empty() ? "" : "+") + std::to_string(some);
    return std::to_string(rows) + "x" + all + "x" + std::to_string(head_dim);
  }
  std::string Name() const {
    return std::string("rope ") + (dtype == ROCIT_FLOAT32 ? "float32 " : "bfloat16 ") + Shape() + " rotating " +
           std::to_string(rotary_dim) + (interleaved ? " interleaved" : "") + " below " + std::to_string(top);
  }
};

inline std::vector<Case> Cases() {
  struct Size {
    int64_t rows;
    std::vector<int64_t> heads;
    int64_t head_dim, rotary_dim, gap;
    int32_t top;
  };
  const Size sizes[] = {
      {5, {3}, 64, 64, 0, 100},     {1, {1}, 2, 2, 0, 10},        {3, {2}, 8, 8, 3, 10},     {4, {9, 3}, 128, 128, 0, 9000},
      {3, {2, 1}, 128, 64, 5, 100}, {2, {3, 3}, 24, 6, 0, 100},   {0, {2, 1}, 8, 8, 0, 10},  {3, {0, 2}, 8, 8, 0, 10},
      {3, {2, 0}, 8, 0, 0, 10},     {7, {1}, 96, 96, 0, 3000},    {9, {2, 5}, 40, 34, 1, 50}, {3, {0}, 8, 8, 0, 10},
      {4, {1}, 64, 64, 0, 1000000000}};
  std::vector<Case> cases;
  for (const RocitDtype dtype : {ROCIT_FLOAT32, ROCIT_BFLOAT16}) {
    for (const bool interleaved : {false, true}) {
      for (const Size& s : sizes) {
        cases.push_back({dtype, s.rows, s.heads, s.head_dim, s.rotary_dim, interleaved, s.gap, s.top});
      }
    }
  }
  return cases;
}

inline cases::Timed<Case> TimedCases(RocitDtype dtype) {
  const Case smollm = {dtype, 2048, {9, 3}, 64, 64, false, 0, 2048};
  const Case llama = {dtype, 4096, {32, 32}, 128, 128, false, 0, 4096};
  return {{smollm, llama, {dtype, 4096, {32, 2}, 128, 64, true, 0, 4096}},
          {llama, smollm},
          {{dtype, 9, {3, 1}, 20, 20, false, 0, 9}}};
}

struct Inputs {
  std::vector<Values> x;
  std::vector<int32_t> positions;
  std::vector<float> inv_freq;

  explicit Inputs(const Case& c) {
    check::Random random(c.rows * 1000 + c.head_dim);
    for (size_t t = 0; t < c.NumTensors(); ++t) x.push_back(check::RandomValues(c.dtype, c.rows * c.Stride(t), &random, 3));
    for (int64_t n = 0; n < c.rows; ++n) positions.push_back(static_cast<int32_t>(random.Bits() % c.top));
    for (int64_t i = 0; i < c.rotary_dim / 2; ++i) {
      inv_freq.push_back(std::pow(10000.0f, -2.0f * static_cast<float>(i) / static_cast<float>(c.rotary_dim)));
    }
  }
};

inline std::vector<double> Packed(const Case& c, const Inputs& in, size_t t) {
  std::vector<double> packed;
  for (int64_t n = 0; n < c.rows; ++n) {
    for (int64_t i = 0; i < c.Width(t); ++i) packed.push_back(in.x[t].Get(n * c.Stride(t) + i));
  }
  return packed;
}

inline std::vector<double> Twin(const Case& c, const Inputs& in, size_t t, int direction) {
  const reference::RopeSizes sizes = {static_cast<size_t>(c.heads[t]), static_cast<size_t>(c.head_dim), c.interleaved,
                                      direction};
  return reference::Rope(Packed(c, in, t), in.positions, in.inv_freq, sizes);
}

inline void AreNear(const std::vector<Values>& y, const Case& c, const Inputs& in, int direction, const std::string& name) {
  for (size_t t = 0; t < c.NumTensors(); ++t) {
    check::IsNear(y[t], Twin(c, in, t, direction), name + " tensor " + std::to_string(t));
  }
}

inline bool IsSame(const std::vector<Values>& a, const std::vector<Values>& b) {
  bool is_same = a.size() == b.size();
  for (size_t t = 0; is_same && t < a.size(); ++t) is_same = a[t].bytes == b[t].bytes;
  return is_same;
}

template <class Memory>
struct Tensors {
  Case c;
  std::vector<typename Memory::Tensor> x, y;
  typename Memory::template Array<int32_t> positions;
  typename Memory::template Array<float> inv_freq;

  // `shift`: as device::Tensor takes it.
  template <class... Shift>
  Tensors(const Case& of, const Inputs& in, Shift... shift)
      : c(of), positions(in.positions), inv_freq(in.inv_freq) {
    for (size_t t = 0; t < c.NumTensors(); ++t) {
      x.emplace_back(in.x[t], shift...);
      y.emplace_back(c.dtype, c.rows * c.Width(t), shift...);
    }
  }
  RocitRopeArgs Args(int direction) {
    RocitRopeArgs args = {c.dtype,   c.rows,           c.head_dim,      c.rotary_dim, c.interleaved,
                          direction, positions.data(), inv_freq.data(), 0,            {}};
    for (size_t t = 0; t < c.NumTensors(); ++t) {
      args.tensors[args.num_tensors++] = {c.heads[t], c.Stride(t), c.Width(t), x[t].data(), y[t].data()};
    }
    return args;
  }
  std::vector<Values> Read() {
    std::vector<Values> all;
    for (auto& one : y) all.push_back(Memory::Read(one));
    return all;
  }
  double Bytes() const {
    double bytes = 0;
    for (size_t t = 0; t < c.NumTensors(); ++t) bytes += 2.0 * static_cast<double>(c.rows * c.Width(t));
    return bytes * (c.dtype == ROCIT_FLOAT32 ? 4 : 2);
  }
};

// The sine of every angle that a model meets, not just of those that a few random positions hit.
struct Angles {
  Case c = {ROCIT_FLOAT32, 20000, {1}, 2, 2, false, 0, 1};
  Inputs in = Inputs(c);

  explicit Angles(float frequency) {
    for (int64_t n = 0; n < c.rows; ++n) {
      in.x[0].Set(2 * n, 1);
      in.x[0].Set(2 * n + 1, 0);
      in.positions[n] = static_cast<int32_t>(n) - 5000;
    }
    in.inv_freq[0] = frequency;
  }
  void Check(const Values& y, const std::string& name) const {
    double worst = 0;
    for (int64_t n = 0; n < c.rows; ++n) {
      const double angle = static_cast<float>(in.positions[n]) * in.inv_freq[0];
      worst = std::fmax(worst, std::fabs(y.Get(2 * n) - std::cos(angle)));
      worst = std::fmax(worst, std::fabs(y.Get(2 * n + 1) - std::sin(angle)));
    }
    check::That(worst < 1.2e-7, name + " is exact to 1.2e-7", std::to_string(worst * 1e9) + "e-9");
  }
};

inline std::vector<float> Frequencies() { return {1.0f, 0.3f, 1.5707964f, 1e-4f}; }

}  // namespace rope

#endif  // ROCIT_TESTS_CASES_ROPE_H_
