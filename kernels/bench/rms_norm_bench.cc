// rms_norm with residual, forward and backward, against a copy of as many bytes.
#include "cases/rms_norm.h"

#include "bench.h"

namespace {

using namespace rms_norm;

void Bench(const Case& c, bench::Pool* pool) {
  const Inputs in(c);
  Tensors<cases::OnHost> t(c, in);
  const RocitParallel parallel = pool->contract();
  const RocitRmsNormArgs forward = t.Forward();
  const RocitRmsNormGradArgs backward = t.Backward();
  rocit_rms_norm(&forward, &parallel);
  rocit_rms_norm_grad(&backward, &parallel);
  CompareWithTwin(c, in, t.Read(), c.Name());
  bench::StopIfWrong();
  const double bytes = 4 * static_cast<double>(in.x.bytes.size());
  bench::AgainstCopy({"rms_norm", bench::DtypeName(c.dtype), c.Shape()}, bytes, pool,
                     [&] { rocit_rms_norm(&forward, &parallel); });
  bench::AgainstCopy({"rms_norm grad", bench::DtypeName(c.dtype), c.Shape()}, bytes, pool,
                     [&] { rocit_rms_norm_grad(&backward, &parallel); });
}

}  // namespace

int main() {
  bench::Pool pool;
  for (const RocitDtype dtype : {ROCIT_FLOAT32, ROCIT_BFLOAT16}) {
    for (const Case& c : TimedCases(dtype).host) Bench(c, &pool);
  }
}
