// adamw over all adapters of a model at once, against a copy of as many bytes: the gradients are read twice, the rest once.
#include "cases/adamw.h"

#include "bench.h"

namespace {

using namespace adamw;

void Bench(const Case& c, bench::Pool* pool) {
  const Inputs in(c);
  Tensors<cases::OnHost> t(c.settings, in.before, in.grads);
  const RocitAdamwArgs args = t.Args();
  const RocitParallel parallel = pool->contract();
  const RocitAdamwResult result = rocit_adamw(&args, &parallel);
  CompareWithTwin(c, in, {t.Read(), result}, 1e-9, "adamw of " + c.name);
  bench::StopIfWrong();
  const double count = static_cast<double>(std::accumulate(c.sizes.begin(), c.sizes.end(), int64_t{0}));
  bench::AgainstCopy({"adamw", "float32", c.name}, 8 * 4 * count, pool, [&] { rocit_adamw(&args, &parallel); });
}

}  // namespace

int main() {
  bench::Pool pool;
  for (const Case& c : TimedCases().host) Bench(c, &pool);
}
