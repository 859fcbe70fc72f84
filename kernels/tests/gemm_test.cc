// gemm against the float64 twin, on every vector path, with 1 to 4 threads; transposes, strides, beta, odd sizes.
#include "cases/gemm.h"

namespace {

using namespace gemm;

Values Run(const Case& k, const Inputs& in, int threads) {
  Tensors<cases::OnHost> t(k, in);
  const RocitGemmArgs args = t.Args();
  check::Threads pool(threads);
  const RocitParallel parallel = pool.contract();
  rocit_gemm(&args, &parallel);
  return t.Read();
}

void TestCase(const Case& k) {
  const Inputs in(k);
  const Twin twin(k, in);
  check::OnEachPath(k.Name(), [&](const std::string& name) {
    const Values one = Run(k, in, 1);
    CompareWithTwin(k, twin, one, name);
    for (int threads = 2; threads <= 4; threads += 2) {
      check::That(Run(k, in, threads).bytes == one.bytes, name + " does not depend on the number of threads");
    }
  });
}

}  // namespace

int main() {
  for (const Case& k : Cases()) TestCase(k);
  return check::Finish("gemm");
}
