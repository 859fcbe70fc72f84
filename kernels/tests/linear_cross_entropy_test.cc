// linear_cross_entropy: against the float64 twin, on every vector path, with 1 to 4 threads; rows in several edges,
// no edges, large vocabularies, steep logits, only the losses.
#include "linear_cross_entropy.h"

#include "check.h"
#include "reference/linear_cross_entropy.h"

namespace {

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
Case Regular(const char* title, int64_t rows, int64_t hidden, int64_t vocab, int64_t step) {
  Case c = {title, rows, hidden, vocab, {}, {}, {}, 1, 0};
  for (int64_t row = 0; row < rows; row += step) {
    c.edge_rows.push_back(static_cast<int32_t>(row));
    c.edge_targets.push_back(static_cast<int32_t>((7 * row + vocab - 1) % vocab));
    c.edge_weights.push_back(1.0f / static_cast<float>(1 + row % 5));
  }
  return c;
}

std::vector<Case> Cases() {
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

Results Run(const Case& c, RocitDtype dtype, Values x, Values weight, int threads, bool wants_dx = true) {
  const int64_t edges = static_cast<int64_t>(c.edge_rows.size());
  Results got = {Values(ROCIT_FLOAT32, edges), Values(ROCIT_FLOAT32, 1), Values(dtype, c.rows * c.hidden)};
  const RocitLinearCrossEntropyArgs args = {dtype,
                                            c.rows,
                                            c.hidden,
                                            c.vocab,
                                            edges,
                                            x.data(),
                                            weight.data(),
                                            c.edge_rows.data(),
                                            c.edge_targets.data(),
                                            c.edge_weights.data(),
                                            static_cast<float*>(got.loss.data()),
                                            static_cast<float*>(got.losses.data()),
                                            wants_dx ? got.dx.data() : nullptr};
  check::Threads pool(threads);
  const RocitParallel parallel = pool.contract();
  rocit_linear_cross_entropy(&args, &parallel);
  return got;
}

void TestCase(const Case& c, RocitDtype dtype) {
  check::Random random(c.rows * 31 + c.vocab);
  const Values x = check::RandomValues(dtype, c.rows * c.hidden, &random, c.scale);
  const Values weight = check::RandomValues(dtype, c.vocab * c.hidden, &random);
  std::vector<double> dx(c.rows * c.hidden);
  const std::vector<double> losses = reference::LinearCrossEntropy(
      c.hidden, c.vocab, x.Doubles(), weight.Doubles(), c.edge_rows, c.edge_targets, c.edge_weights, &dx);
  double loss = 0;
  for (size_t e = 0; e < losses.size(); ++e) loss += c.edge_weights[e] * losses[e];
  const std::string title = std::string(dtype == ROCIT_FLOAT32 ? "float32 " : "bfloat16 ") + c.title;
  check::OnEachPath("linear_cross_entropy " + title, [&](const std::string& name) {
    const Results one = Run(c, dtype, x, weight, 1);
    check::IsNear(one.losses, losses, name + " edge losses", c.least_loss);
    check::IsNear(one.loss, {loss}, name + " loss", c.least_loss);
    check::IsNear(one.dx, dx, name + " dx", 1e-3);
    bool is_same = true;
    for (int threads = 2; threads <= 4; ++threads) is_same = is_same && Run(c, dtype, x, weight, threads) == one;
    check::That(is_same, name + " does not depend on the number of threads");
    const Results only = Run(c, dtype, x, weight, 2, false);
    check::That(only.losses.bytes == one.losses.bytes, name + " has the same losses without dx");
  });
}

// A NaN in x reaches its own edge and no other.
void TestNan() {
  Case c = Regular("NaN", 30, 8, 100, 1);
  check::Random random(3);
  Values x = check::RandomValues(ROCIT_FLOAT32, c.rows * c.hidden, &random);
  const Values weight = check::RandomValues(ROCIT_FLOAT32, c.vocab * c.hidden, &random);
  x.Set(7 * c.hidden + 2, NAN);
  check::OnEachPath("linear_cross_entropy NaN", [&](const std::string& name) {
    const Results got = Run(c, ROCIT_FLOAT32, x, weight, 2);
    bool holds = true;
    for (int64_t e = 0; e < 30; ++e) holds = holds && std::isnan(got.losses.Get(e)) == (e == 7);
    check::That(holds, name + " stays with its edge");
    check::That(std::isnan(got.loss.Get(0)), name + " shows in the loss");
  });
}

}  // namespace

int main() {
  for (const Case& c : Cases()) {
    TestCase(c, ROCIT_FLOAT32);
    TestCase(c, ROCIT_BFLOAT16);
  }
  TestNan();
  return check::Finish("linear_cross_entropy");
}
