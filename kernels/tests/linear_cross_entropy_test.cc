// linear_cross_entropy: against the float64 twin, on every vector path, with 1 to 4 threads; rows in several edges,
// no edges, large vocabularies, steep logits, only the losses.
#include "cases/linear_cross_entropy.h"

namespace {

using namespace linear_cross_entropy;

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
  const Inputs in(c, dtype);
  const Twin twin(c, in);
  check::OnEachPath(NameOf(c, dtype), [&](const std::string& name) {
    const Results one = Run(c, dtype, in.x, in.weight, 1);
    CompareWithTwin(c, twin, one, name);
    bool is_same = true;
    for (int threads = 2; threads <= 4; ++threads) is_same = is_same && Run(c, dtype, in.x, in.weight, threads) == one;
    check::That(is_same, name + " does not depend on the number of threads");
    const Results only = Run(c, dtype, in.x, in.weight, 2, false);
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
