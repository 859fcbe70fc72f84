// swiglu forward and backward against a copy of as many bytes.
#include "cases/swiglu.h"

#include "bench.h"

namespace {

using namespace swiglu;

void Bench(const Case& c, bench::Pool* pool) {
  const Inputs in(c);
  Tensors<cases::OnHost> t(c, in);
  const RocitParallel parallel = pool->contract();
  const RocitSwigluArgs forward = t.Forward();
  const RocitSwigluGradArgs backward = t.Backward();
  rocit_swiglu(&forward, &parallel);
  rocit_swiglu_grad(&backward, &parallel);
  CompareWithTwin(c, in, t.Read(), c.Name());
  bench::StopIfWrong();
  const double bytes = static_cast<double>(t.y.bytes.size());
  bench::AgainstCopy({"swiglu", bench::DtypeName(c.dtype), c.Shape()}, 3 * bytes, pool,
                     [&] { rocit_swiglu(&forward, &parallel); });
  bench::AgainstCopy({"swiglu grad", bench::DtypeName(c.dtype), c.Shape()}, 5 * bytes, pool,
                     [&] { rocit_swiglu_grad(&backward, &parallel); });
}

}  // namespace

int main() {
  bench::Pool pool;
  for (const RocitDtype dtype : {ROCIT_FLOAT32, ROCIT_BFLOAT16}) {
    for (const Case& c : TimedCases(dtype).host) Bench(c, &pool);
  }
}
