// embedding of random ids against a copy of as many bytes.
#include "cases/embedding.h"

#include "bench.h"

namespace {

using namespace embedding;

void Bench(const Case& c, bench::Pool* pool) {
  const Inputs in(c);
  Tensors<cases::OnHost> t(c, in);
  const RocitParallel parallel = pool->contract();
  const RocitEmbeddingArgs args = t.Args();
  check::That(rocit_embedding(&args, &parallel) == -1 && IsGathered(c, in, t.y), c.Name() + " copies rows");
  bench::StopIfWrong();
  const std::string shape =
      std::to_string(c.count()) + " of " + std::to_string(c.vocab) + "x" + std::to_string(c.hidden);
  bench::AgainstCopy({"embedding", bench::DtypeName(c.dtype), shape}, 2.0 * static_cast<double>(t.y.bytes.size()), pool,
                     [&] { rocit_embedding(&args, &parallel); });
}

}  // namespace

int main() {
  bench::Pool pool;
  for (const RocitDtype dtype : {ROCIT_FLOAT32, ROCIT_BFLOAT16}) {
    for (const Case& c : TimedCases(dtype).host) Bench(c, &pool);
  }
}
