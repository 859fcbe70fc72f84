// lora_linear forward and backward: against the float64 twin, on every vector path, with 1 to 4 threads; bias, dropout,
// several projections, gradients that are missing or not wanted.
#include "cases/lora_linear.h"

namespace {

using namespace lora_linear;

Results Run(const Case& c, const Inputs& in, int threads, bool adds = false) {
  Tensors<cases::OnHost> t(c, in);
  check::Threads pool(threads);
  const RocitParallel parallel = pool.contract();
  const RocitLoraLinearArgs forward = t.Forward();
  rocit_lora_linear(&forward, &parallel);
  const RocitLoraLinearGradArgs backward = t.Backward(adds);
  rocit_lora_linear_grad(&backward, &parallel);
  return t.Read();
}

void TestCase(const Case& c, RocitDtype dtype) {
  const Inputs in(c, dtype);
  const Twin twin(c, in);
  const std::string title = std::string("lora_linear ") + (dtype == ROCIT_FLOAT32 ? "float32 " : "bfloat16 ") + c.title;
  check::OnEachPath(title, [&](const std::string& name) {
    const Results one = Run(c, in, 1);
    CompareWithTwin(c, twin, one, name);
    bool is_same = true;
    for (int threads = 2; threads <= 4; ++threads) is_same = is_same && Run(c, in, threads) == one;
    CheckAdded(in, one, Run(c, in, 1, true), name);
    check::That(is_same, name + " does not depend on the number of threads");
  });
}

// The share that is kept, the factor of what is kept, and masks that differ by seed and agree on all paths.
void TestMask() {
  check::Threads pool(2);
  const RocitParallel parallel = pool.contract();
  const int64_t rows = 64, in = 50;
  for (const float dropout : {0.1f, 0.5f, 0.9f}) {
    const Part part = {in, in, false, 1, dropout, true};
    const std::vector<double> first = Mask(rows, in, part, 0, &parallel), other = Mask(rows, in, part, 1, &parallel);
    double kept = 0, is_scaled = 1;
    for (const double factor : first) {
      kept += factor != 0;
      if (factor != 0) is_scaled = is_scaled && std::fabs(factor * (1 - dropout) - 1) < 1e-6;
    }
    const std::string name = "lora_linear mask of " + std::to_string(dropout);
    check::That(is_scaled, name + " scales what it keeps");
    check::That(std::fabs(kept / static_cast<double>(rows * in) - (1 - dropout)) < 0.053, name + " keeps its share");
    check::That(first != other, name + " depends on the seed");
    check::OnEachPath(name, [&](const std::string& path) {
      check::That(Mask(rows, in, part, 0, &parallel) == first, path + " is that of all paths");
    });
  }
}

}  // namespace

int main() {
  TestMask();
  for (const Case& c : Cases()) {
    TestCase(c, ROCIT_FLOAT32);
    TestCase(c, ROCIT_BFLOAT16);
  }
  return check::Finish("lora_linear");
}
