// linear_cross_entropy: against the float64 twin, on every vector path, with 1 to 4 threads; rows in several edges,
// no edges, large vocabularies, steep logits, only the losses.
#include "cases/linear_cross_entropy.h"

namespace {

using namespace linear_cross_entropy;

Results Run(const Case& c, const Inputs& in, int threads, bool wants_dx = true) {
  Tensors<cases::OnHost> t(c, in);
  const RocitLinearCrossEntropyArgs args = t.Args(wants_dx);
  check::Threads pool(threads);
  const RocitParallel parallel = pool.contract();
  rocit_linear_cross_entropy(&args, &parallel);
  return t.Read();
}

void TestCase(const Case& c, RocitDtype dtype) {
  const Inputs in(c, dtype);
  const Twin twin(c, in);
  check::OnEachPath(NameOf(c, dtype), [&](const std::string& name) {
    const Results one = Run(c, in, 1);
    CompareWithTwin(c, twin, one, name);
    bool is_same = true;
    for (int threads = 2; threads <= 4; ++threads) is_same = is_same && Run(c, in, threads) == one;
    check::That(is_same, name + " does not depend on the number of threads");
    const Results only = Run(c, in, 2, false);
    check::That(only.losses.bytes == one.losses.bytes, name + " has the same losses without dx");
  });
}

// A NaN in x reaches its own edge and no other.
void TestNan() {
  const Case c = Regular("NaN", 30, 8, 100, 1);
  Inputs in(c, ROCIT_FLOAT32);
  in.x.Set(7 * c.hidden + 2, NAN);
  check::OnEachPath("linear_cross_entropy NaN", [&](const std::string& name) {
    const Results got = Run(c, in, 2);
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
