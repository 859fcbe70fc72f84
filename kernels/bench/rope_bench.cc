// rope against a copy of as many bytes; backward is the same work.
#include "cases/rope.h"

#include "bench.h"

namespace {

using namespace rope;

void Bench(const Case& c, bench::Pool* pool) {
  const Inputs in(c);
  Tensors<cases::OnHost> t(c, in);
  const RocitParallel parallel = pool->contract();
  for (const int direction : {-1, 1}) {
    const RocitRopeArgs args = t.Args(direction);
    rocit_rope(&args, &parallel);
    AreNear(t.Read(), c, in, direction, c.Name() + (direction < 0 ? " backwards" : ""));
  }
  bench::StopIfWrong();
  const RocitRopeArgs args = t.Args(1);
  bench::AgainstCopy({c.interleaved ? "rope interleaved" : "rope", bench::DtypeName(c.dtype), c.Shape()},
                     t.Bytes(), pool, [&] { rocit_rope(&args, &parallel); });
}

}  // namespace

int main() {
  bench::Pool pool;
  for (const RocitDtype dtype : {ROCIT_FLOAT32, ROCIT_BFLOAT16}) {
    for (const Case& c : TimedCases(dtype).host) Bench(c, &pool);
  }
}
