// The cases of linear_cross_entropy, their tensors, and the comparison with the float64 twin.
#ifndef ROCIT_TESTS_CASES_LINEAR_CROSS_ENTROPY_H_
#define ROCIT_TESTS_CASES_LINEAR_CROSS_ENTROPY_H_

#include <linear_cross_entropy.h>  // the contract: this file bears its name

#include "cases/compare.h"
#include "cases/memory.h"
#include "cases/timed.h"
#include "reference/linear_cross_entropy.h"

namespace linear_cross_entropy {

using check::Values;

struct Case {
  const char* title;
  int64_t rows, hidden, vocab;
  std::vector<int32_t> edge_rows, edge_targets;
  std::vector<float> edge_weights;
  double scale;
  double least_loss;  // what the loss is measured by at least
  double weight_scale = 1;

  int64_t edges() const { return static_cast<int64_t>(edge_rows.size()); }
};

// An edge on every `step`-th row, with targets all over the vocabulary.
inline Case Regular(const char* title, int64_t rows, int64_t hidden, int64_t vocab, int64_t step) {
  Case c = {title, rows, hidden, vocab, {}, {}, {}, 1, 0};
  for (int64_t row = 0; row < rows; row += step) {
    c.edge_rows.push_back(static_cast<int32_t>(row));
    c.edge_targets.push_back(static_cast<int32_t>((7 * row + vocab - 1) % vocab));
    c.edge_weights.push_back(1.0f / static_cast<float>(1 + row % 5));
  }
  return c;
}

// An edge on each of `edges` rows, evenly spread; logits of about one.
inline Case Head(const char* title, int64_t rows, int64_t edges, int64_t hidden, int64_t vocab) {
  Case c = {title, rows, hidden, vocab, {}, {}, std::vector<float>(edges, 1), 1, 0};
  c.weight_scale = std::sqrt(3.0 / static_cast<double>(hidden));
  for (int64_t e = 0; e < edges; ++e) {
    c.edge_rows.push_back(static_cast<int32_t>(e * rows / edges));
    c.edge_targets.push_back(static_cast<int32_t>(e * 7919 % vocab));
  }
  return c;
}

inline std::vector<Case> Cases() {
  return {
      {"several edges", 5, 123, 77, {4, 0, 2, 4, 2, 2}, {10, 0, 5, 3, 5, 76}, {1, 0.5f, 2, 0.25f, 1, 0}, 1, 0},
      {"one edge", 1, 3, 5, {0}, {4}, {1}, 1, 0},
      {"no edge", 4, 8, 9, {}, {}, {}, 1, 0},
      {"no row", 0, 8, 9, {}, {}, {}, 1, 0},
      {"all edges on one row", 6, 16, 31, {3, 3, 3, 3, 3}, {0, 1, 5, 5, 30}, {1, 1, 1, 1, 1}, 1, 0},
      {"steep", 3, 32, 13, {0, 0, 1}, {3, 0, 5}, {1, 1, 1}, 300, 300},
      {"one word", 2, 4, 1, {1}, {0}, {1}, 1, 1},
      Regular("every row", 33, 8, 19, 1),
      Regular("many words", 40, 20, 3001, 3),
      Regular("many rows", 1100, 5, 40, 1),
      Regular("odd words", 16, 33, 801, 1),
      Regular("whole tiles", 50, 64, 500, 1),
      Head("long rows", 70, 40, 600, 417),
      Regular("a row more than a tile", 17, 48, 49, 1),
      Head("two long rows", 2, 2, 1200, 70),
  };
}

inline cases::Timed<Case> TimedCases(RocitDtype dtype) {
  cases::Timed<Case> timed;
  timed.host = {Head("some rows", 1000, 250, 576, 49152), Head("some rows", 2048, 500, 576, 49152),
                Head("half of the rows", 2048, 1000, 576, 49152)};
  if (dtype == ROCIT_BFLOAT16) timed.device.push_back(Head("LLaMA-7B", 4096, 4096, 4096, 32000));
  timed.quick = static_cast<int>(timed.device.size());
  timed.device.push_back(Head("SmolLM2-135M", 2048, 2048, 576, 49152));
  timed.emulated = {Head("tiny", 9, 9, 20, 101)};
  return timed;
}

struct Results {
  Values losses, loss, dx;
  bool operator==(const Results& other) const {
    return losses.bytes == other.losses.bytes && loss.bytes == other.loss.bytes && dx.bytes == other.dx.bytes;
  }
};

struct Inputs {
  Values x, weight;
  Inputs(const Case& c, RocitDtype dtype) : Inputs(c, dtype, check::Random(c.rows * 31 + c.vocab)) {}

 private:
  Inputs(const Case& c, RocitDtype dtype, check::Random random)
      : x(check::RandomValues(dtype, c.rows * c.hidden, &random, c.scale)),
        weight(check::RandomValues(dtype, c.vocab * c.hidden, &random, c.weight_scale)) {}
};

inline std::string NameOf(const Case& c, RocitDtype dtype) {
  return std::string("linear_cross_entropy ") + (dtype == ROCIT_FLOAT32 ? "float32 " : "bfloat16 ") + c.title;
}

template <class Memory>
struct Tensors {
  Case c;
  RocitDtype dtype;
  typename Memory::Tensor x, weight, dx, loss, losses;
  typename Memory::template Array<int32_t> edge_rows, edge_targets;
  typename Memory::template Array<float> edge_weights;

  // `shift`: as device::Tensor takes it.
  template <class... Shift>
  Tensors(const Case& of, const Inputs& in, Shift... shift)
      : c(of), dtype(in.x.dtype), x(in.x, shift...), weight(in.weight, shift...),
        dx(dtype, c.rows * c.hidden, shift...), loss(ROCIT_FLOAT32, 1), losses(ROCIT_FLOAT32, c.edges()),
        edge_rows(c.edge_rows), edge_targets(c.edge_targets), edge_weights(c.edge_weights) {}
  RocitLinearCrossEntropyArgs Args(bool wants_dx = true) {
    return {dtype,
            c.rows,
            c.hidden,
            c.vocab,
            c.edges(),
            x.data(),
            weight.data(),
            edge_rows.data(),
            edge_targets.data(),
            edge_weights.data(),
            cases::Floats(loss),
            cases::Floats(losses),
            wants_dx ? dx.data() : nullptr};
  }
  Results Read() { return {Memory::Read(losses), Memory::Read(loss), Memory::Read(dx)}; }
};

// Each edge by itself; of many edges some, which then have their rows for themselves.
struct Twin {
  cases::Rows edges, rows;
  std::vector<double> losses, dx;  // of these

  Twin(const Case& c, const Inputs& in)
      : edges(cases::Affordable(c.edges(), 2.0 * static_cast<double>(c.hidden * c.vocab))) {
    const int64_t count = static_cast<int64_t>(edges.size());
    const bool is_whole = count == c.edges();
    if (is_whole) rows = cases::Range(0, c.rows);
    for (const int64_t edge : edges) {
      if (!is_whole) rows.push_back(c.edge_rows[edge]);
    }
    const std::vector<double> weight = in.weight.Doubles();
    std::vector<std::vector<double>> by_edge(count, std::vector<double>(c.hidden));
    losses.resize(count);
    cases::InParallel(count, [&](int64_t e) {
      const int64_t edge = edges[e];
      const std::vector<double> x = cases::Pick(in.x, c.hidden, {c.edge_rows[edge]}).Doubles();
      losses[e] = reference::LinearCrossEntropy(c.hidden, c.vocab, x, weight, {0}, {c.edge_targets[edge]},
                                                {c.edge_weights[edge]}, &by_edge[e])[0];
    });
    dx.resize(rows.size() * c.hidden);
    for (int64_t e = 0; e < count; ++e) {
      const int64_t row = is_whole ? c.edge_rows[e] : e;
      for (int64_t i = 0; i < c.hidden; ++i) dx[row * c.hidden + i] += by_edge[e][i];
    }
  }
};

// The loss is the weighted sum of the edges' own losses, which are compared, and dx is zero in rows without edges.
inline void CompareWithTwin(const Case& c, const Twin& twin, const Results& got, const std::string& name,
                            const cases::Near& near_losses = check::IsNear,
                            const cases::Near& near_dx = check::IsNear) {
  near_losses(cases::Pick(got.losses, 1, twin.edges), twin.losses, name + " edge losses", c.least_loss);
  std::vector<double> losses = got.losses.Doubles();
  if (twin.edges.size() == losses.size()) losses = twin.losses;
  double loss = 0;
  for (int64_t e = 0; e < c.edges(); ++e) loss += c.edge_weights[e] * losses[e];
  check::IsNear(got.loss, {loss}, name + " loss", c.least_loss);
  near_dx(cases::Pick(got.dx, c.hidden, twin.rows), twin.dx, name + " dx", 1e-3);
  std::vector<bool> has_edge(c.rows);
  for (const int32_t row : c.edge_rows) has_edge[row] = true;
  bool is_zero = true;
  for (int64_t i = 0; i < c.rows * c.hidden; ++i) is_zero = is_zero && (has_edge[i / c.hidden] || got.dx.Get(i) == 0);
  check::That(is_zero, name + " dx is zero in rows without edges");
}

}  // namespace linear_cross_entropy

#endif  // ROCIT_TESTS_CASES_LINEAR_CROSS_ENTROPY_H_
