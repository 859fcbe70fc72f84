// Cases of swiglu, their tensors and the comparison with the float64 twin; sigmoids over the whole range; values that
// are not finite.
#ifndef ROCIT_TESTS_CASES_SWIGLU_H_
#define ROCIT_TESTS_CASES_SWIGLU_H_

#include <swiglu.h>  // the contract: this file bears its name

#include "cases/compare.h"
#include "cases/memory.h"
#include "cases/timed.h"
#include "reference/swiglu.h"

namespace swiglu {

using check::Values;

struct Case {
  RocitDtype dtype;
  int64_t rows, size, gap;  // gap: elements between a row's end and the next row
  double scale;

  int64_t Stride() const { return size + gap; }
  std::string Shape() const { return std::to_string(rows) + "x" + std::to_string(size); }
  std::string Name() const {
    return std::string("swiglu ") + (dtype == ROCIT_FLOAT32 ? "float32 " : "bfloat16 ") + Shape() +
           (gap > 0 ? " with gaps" : "") + " of " + std::to_string(static_cast<int>(scale));
  }
};

inline std::vector<Case> Cases() {
  const int64_t shapes[][3] = {{5, 123, 0}, {1, 1, 0}, {1, 1536, 0}, {3, 16, 7}, {2, 17, 1},
                               {4, 15, 0},  {0, 8, 0}, {3, 0, 0},    {9, 200, 0}};
  std::vector<Case> cases;
  for (const RocitDtype dtype : {ROCIT_FLOAT32, ROCIT_BFLOAT16}) {
    for (const auto& shape : shapes) {
      for (const double scale : {1.0, 8.0, 100.0}) cases.push_back({dtype, shape[0], shape[1], shape[2], scale});
    }
  }
  return cases;
}

inline cases::Timed<Case> TimedCases(RocitDtype dtype) {
  const Case smollm = {dtype, 2048, 1536, 0, 8};
  return {{smollm, {dtype, 2048, 11008, 0, 8}}, {{dtype, 4096, 11008, 0, 8}, smollm}, {{dtype, 9, 200, 0, 8}}};
}

struct Inputs {
  Values dy, gate, up;

  explicit Inputs(const Case& c) : Inputs(c, check::Random(c.rows * 1000 + c.size)) {}

 private:
  Inputs(const Case& c, check::Random random)
      : dy(check::RandomValues(c.dtype, c.rows * c.Stride(), &random)),
        gate(check::RandomValues(c.dtype, c.rows * c.Stride(), &random, c.scale)),
        up(check::RandomValues(c.dtype, c.rows * c.Stride(), &random, 2)) {}
};

struct Outputs {
  Values y, d_gate, d_up;
  bool operator==(const Outputs& other) const {
    return y.bytes == other.y.bytes && d_gate.bytes == other.d_gate.bytes && d_up.bytes == other.d_up.bytes;
  }
};

// Inputs are apart, outputs dense.
template <class Memory>
struct Tensors {
  Case c;
  typename Memory::Tensor dy, gate, up, y, d_gate, d_up;

  // `shift`: as device::Tensor takes it.
  template <class... Shift>
  Tensors(const Case& of, const Inputs& in, Shift... shift)
      : c(of), dy(in.dy, shift...), gate(in.gate, shift...), up(in.up, shift...), y(c.dtype, c.rows * c.size, shift...),
        d_gate(c.dtype, c.rows * c.size, shift...), d_up(c.dtype, c.rows * c.size, shift...) {}
  RocitSwigluArgs Forward() {
    return {c.dtype, c.rows, c.size, c.Stride(), c.Stride(), c.size, gate.data(), up.data(), y.data()};
  }
  RocitSwigluGradArgs Backward() {
    return {c.dtype, c.rows,    c.size,      c.Stride(), c.Stride(),    c.Stride(), c.size,
            c.size,  dy.data(), gate.data(), up.data(),  d_gate.data(), d_up.data()};
  }
  Outputs Read() { return {Memory::Read(y), Memory::Read(d_gate), Memory::Read(d_up)}; }
};

// Three exponentials and their divisions a value count as twelve multiply-adds.
inline void CompareWithTwin(const Case& c, const Inputs& in, const Outputs& got, const std::string& name) {
  const cases::Rows rows = cases::Affordable(c.rows, 12.0 * static_cast<double>(c.size));
  std::vector<double> y, d_gate, d_up;
  for (const int64_t n : rows) {
    for (int64_t i = n * c.Stride(); i < n * c.Stride() + c.size; ++i) {
      y.push_back(reference::Swiglu(in.gate.Get(i), in.up.Get(i)));
      d_gate.push_back(reference::SwigluGradGate(in.dy.Get(i), in.gate.Get(i), in.up.Get(i)));
      d_up.push_back(reference::SwigluGradUp(in.dy.Get(i), in.gate.Get(i)));
    }
  }
  check::IsNear(cases::Pick(got.y, c.size, rows), y, name + " y");
  check::IsNear(cases::Pick(got.d_gate, c.size, rows), d_gate, name + " d_gate");
  check::IsNear(cases::Pick(got.d_up, c.size, rows), d_up, name + " d_up");
}

// gate * sigmoid(gate), value by value: 4 units in the last place wherever the sigmoid is a normal number.
struct Sweep {
  Case c = {ROCIT_FLOAT32, 1, 17400, 0, 1};
  Inputs in = Inputs(c);

  Sweep() {
    for (int64_t i = 0; i < c.size; ++i) {
      in.gate.Set(i, (i + 0.37) / 100 - 87);
      in.up.Set(i, 1);
    }
  }
  void Check(const Outputs& out, const std::string& name) const {
    double worst = 0;
    for (int64_t i = 0; i < c.size; ++i) {
      const double expected = reference::Swiglu(in.gate.Get(i), 1);
      worst = std::fmax(worst, std::fabs(out.y.Get(i) - expected) / std::fabs(expected));
    }
    check::That(worst < 4 * 0x1p-23, name + " is exact to 4 units in the last place", std::to_string(worst * 0x1p23));
  }
};

struct Ends {
  Case c = {ROCIT_FLOAT32, 1, 5, 0, 1};
  Inputs in = Inputs(c);

  Ends() {
    const double gates[] = {1e30, -1e30, HUGE_VAL, -200, std::nan("")};
    for (int i = 0; i < 5; ++i) {
      in.gate.Set(i, gates[i]);
      in.up.Set(i, 1);
      in.dy.Set(i, 1);
    }
  }
  void Check(const Outputs& out, const std::string& name) const {
    check::That(out.y.Get(0) == static_cast<float>(1e30), name + " is the gate where it is large");
    check::That(std::fabs(out.y.Get(1)) < 1e-7, name + " vanishes where the gate is far below zero");
    check::That(out.y.Get(2) == HUGE_VAL, name + " keeps infinity");
    check::That(std::fabs(out.y.Get(3)) < 1e-35 && std::fabs(out.d_gate.Get(3)) < 1e-35, name + " vanishes at -200");
    check::That(std::isnan(out.y.Get(4)) && std::isnan(out.d_gate.Get(4)) && std::isnan(out.d_up.Get(4)),
                name + " keeps NaN");
  }
};

}  // namespace swiglu

#endif  // ROCIT_TESTS_CASES_SWIGLU_H_
