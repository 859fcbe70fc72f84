// The cases of linear_cross_entropy, their inputs, and the comparison with the float64 twin.
#ifndef ROCIT_TESTS_CASES_LINEAR_CROSS_ENTROPY_H_
#define ROCIT_TESTS_CASES_LINEAR_CROSS_ENTROPY_H_

#include <linear_cross_entropy.h>  // the contract: this file bears its name

#include "check.h"
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
  };
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
        weight(check::RandomValues(dtype, c.vocab * c.hidden, &random)) {}
};

inline std::string NameOf(const Case& c, RocitDtype dtype) {
  return std::string("linear_cross_entropy ") + (dtype == ROCIT_FLOAT32 ? "float32 " : "bfloat16 ") + c.title;
}

struct Twin {
  std::vector<double> losses, dx;
  double loss = 0;

  Twin(const Case& c, const Inputs& in) : dx(c.rows * c.hidden) {
    losses = reference::LinearCrossEntropy(c.hidden, c.vocab, in.x.Doubles(), in.weight.Doubles(), c.edge_rows,
                                           c.edge_targets, c.edge_weights, &dx);
    for (size_t e = 0; e < losses.size(); ++e) loss += c.edge_weights[e] * losses[e];
  }
};

inline void CompareWithTwin(const Case& c, const Twin& twin, const Results& got, const std::string& name) {
  check::IsNear(got.losses, twin.losses, name + " edge losses", c.least_loss);
  check::IsNear(got.loss, {twin.loss}, name + " loss", c.least_loss);
  check::IsNear(got.dx, twin.dx, name + " dx", 1e-3);
}

}  // namespace linear_cross_entropy

#endif  // ROCIT_TESTS_CASES_LINEAR_CROSS_ENTROPY_H_
