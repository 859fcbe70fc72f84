// The cases of gemm, their tensors, and the comparison with the float64 twin.
#ifndef ROCIT_TESTS_CASES_GEMM_H_
#define ROCIT_TESTS_CASES_GEMM_H_

#include <gemm.h>  // the contract: this file bears its name

#include "cases/compare.h"
#include "cases/memory.h"
#include "cases/timed.h"
#include "reference/gemm.h"

namespace gemm {

using check::Values;

struct Case {
  RocitDtype dtype, c_dtype;
  int64_t m, n, k;
  bool a_transposed, b_transposed;
  float beta;
  int64_t gap;  // elements between the rows of all three

  std::string Name() const {
    const auto type = [](RocitDtype d) { return d == ROCIT_FLOAT32 ? "float32" : "bfloat16"; };
    return std::string("gemm ") + type(dtype) + " to " + type(c_dtype) + " " + std::to_string(m) + "x" +
           std::to_string(n) + "x" + std::to_string(k) + (a_transposed ? " a^T" : "") + (b_transposed ? " b^T" : "") +
           " beta " + std::to_string(beta) + " gap " + std::to_string(gap);
  }
};

inline std::vector<Case> Cases() {
  const int64_t shapes[][3] = {{1, 1, 1},  {5, 123, 77}, {14, 32, 16}, {15, 33, 17}, {29, 97, 64},
                               {40, 16, 31}, {3, 5, 0},  {0, 4, 4},    {4, 0, 4},    {530, 70, 9},
                               {17, 48, 33}, {16, 17, 1153}, {31, 31, 600}, {33, 100, 1151}, {32, 32, 577}, {1, 300, 576},
                               {65, 16, 96}, {2100, 33, 40}};
  std::vector<Case> cases;
  for (const auto& s : shapes) {
    for (const bool a : {false, true}) {
      for (const bool b : {false, true}) {
        for (const int64_t gap : {0, 3}) {
          cases.push_back({ROCIT_FLOAT32, ROCIT_FLOAT32, s[0], s[1], s[2], a, b, gap == 0 ? 0.0f : 1.0f, gap});
          cases.push_back({ROCIT_FLOAT32, ROCIT_FLOAT32, s[0], s[1], s[2], a, b, 0.5f, gap});
          cases.push_back({ROCIT_BFLOAT16, ROCIT_FLOAT32, s[0], s[1], s[2], a, b, 0, gap});
          cases.push_back({ROCIT_BFLOAT16, ROCIT_BFLOAT16, s[0], s[1], s[2], a, b, gap == 0 ? 0.0f : 0.5f, gap});
        }
      }
    }
  }
  return cases;
}

// The linears of SmolLM2-135M: forward, x W^T, and input gradient, dy W.
inline cases::Timed<Case> TimedCases(RocitDtype dtype) {
  const int64_t layers[][2] = {{576, 576}, {192, 576}, {1536, 576}, {576, 1536}};  // out, in
  cases::Timed<Case> timed;
  for (const bool is_forward : {true, false}) {
    for (const auto& [out, in] : layers) {
      for (const int64_t rows : {256, 1000, 2048}) {
        const int64_t n = is_forward ? out : in, depth = is_forward ? in : out;
        timed.host.push_back({dtype, dtype, rows, n, depth, false, is_forward, 0, 0});
      }
    }
  }
  return timed;
}

// Rows of memory with `gap` NaN between them, so that reading or keeping a gap shows.
inline Values Spread(const Values& dense, int64_t rows, int64_t columns, int64_t gap) {
  Values spread(dense.dtype, rows * (columns + gap));
  for (int64_t i = 0; i < spread.size(); ++i) spread.Set(i, NAN);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) spread.Set(r * (columns + gap) + c, dense.Get(r * columns + c));
  }
  return spread;
}

struct Inputs {
  Values a, b, c;
  explicit Inputs(const Case& k) : Inputs(k, check::Random(k.m * 7 + k.n)) {}

 private:
  Inputs(const Case& k, check::Random random)
      : a(check::RandomValues(k.dtype, k.m * k.k, &random)),
        b(check::RandomValues(k.dtype, k.k * k.n, &random)),
        c(check::RandomValues(k.c_dtype, k.m * k.n, &random)) {}
};

// c before the product: what beta multiplies, or NaN where it is not to be read.
inline Values Start(const Case& k, const Inputs& in) {
  Values c = Spread(in.c, k.m, k.n, k.gap);
  if (k.beta == 0) {
    for (int64_t i = 0; i < c.size(); ++i) c.Set(i, NAN);
  }
  return c;
}

inline Values SpreadA(const Case& k, const Inputs& in) {
  return Spread(in.a, k.a_transposed ? k.k : k.m, k.a_transposed ? k.m : k.k, k.gap);
}

inline Values SpreadB(const Case& k, const Inputs& in) {
  return Spread(in.b, k.b_transposed ? k.n : k.k, k.b_transposed ? k.k : k.n, k.gap);
}

// What is in c without its gaps, which must be as they were.
inline Values WithoutGaps(const Case& k, const Values& c) {
  Values dense(k.c_dtype, k.m * k.n);
  bool has_gaps = true;
  for (int64_t r = 0; r < k.m; ++r) {
    for (int64_t j = 0; j < k.n; ++j) dense.Set(r * k.n + j, c.Get(r * (k.n + k.gap) + j));
    for (int64_t j = k.n; j < k.n + k.gap; ++j) has_gaps = has_gaps && std::isnan(c.Get(r * (k.n + k.gap) + j));
  }
  check::That(has_gaps, k.Name() + " leaves the gaps alone");
  return dense;
}

template <class Memory>
struct Tensors {
  Case k;
  typename Memory::Tensor a, b, c;

  // `shift`: as device::Tensor takes it.
  template <class... Shift>
  Tensors(const Case& of, const Inputs& in, Shift... shift)
      : k(of), a(SpreadA(k, in), shift...), b(SpreadB(k, in), shift...), c(Start(k, in), shift...) {}
  RocitGemmArgs Args() {
    const int64_t a_columns = k.a_transposed ? k.m : k.k, b_columns = k.b_transposed ? k.k : k.n;
    return {k.dtype,  k.c_dtype, k.m,      k.n,               k.k,
            a.data(), b.data(),  c.data(), a_columns + k.gap, b_columns + k.gap,
            k.n + k.gap, k.a_transposed, k.b_transposed, k.beta};
  }
  Values Read() { return WithoutGaps(k, Memory::Read(c)); }
};

struct Twin {
  cases::Rows rows;
  std::vector<double> c;  // these rows

  Twin(const Case& k, const Inputs& in) : rows(cases::Affordable(k.m, static_cast<double>(k.n * k.k))) {
    const int64_t count = static_cast<int64_t>(rows.size());
    const Values a = k.a_transposed ? cases::PickColumns(in.a, k.m, rows) : cases::Pick(in.a, k.k, rows);
    c = cases::Pick(in.c, k.n, rows).Doubles();
    for (double& value : c) value *= k.beta;
    c = reference::Gemm(count, k.n, k.k, a.Doubles(), k.a_transposed, in.b.Doubles(), k.b_transposed, c);
  }
};

inline void CompareWithTwin(const Case& k, const Twin& twin, const Values& got, const std::string& name) {
  cases::IsNearSum(cases::Pick(got, k.n, twin.rows), twin.c, name, k.k);
}

}  // namespace gemm

#endif  // ROCIT_TESTS_CASES_GEMM_H_
