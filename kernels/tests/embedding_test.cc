// embedding: rows are copied byte for byte, with 1 to 4 threads; ids outside of the table are named and nothing is written.
#include "cases/embedding.h"

namespace {

using namespace embedding;

struct Run {
  int64_t bad;
  Values y;
};

Run Gather(const Case& c, const Inputs& in, int threads) {
  Tensors<cases::OnHost> t(c, in);
  check::Threads pool(threads);
  const RocitParallel parallel = pool.contract();
  const RocitEmbeddingArgs args = t.Args();
  const int64_t bad = rocit_embedding(&args, &parallel);
  return {bad, t.y};
}

void TestCase(const Case& c) {
  const Inputs in(c);
  for (int threads = 1; threads <= 4; ++threads) {
    const Run run = Gather(c, in, threads);
    check::That(run.bad == -1 && IsGathered(c, in, run.y),
                c.Name() + " copies rows with " + std::to_string(threads) + " threads");
  }
}

void TestOutside(const Case& c) {
  int64_t first = 0;
  while (c.ids[first] >= 0 && c.ids[first] < c.vocab) first += 1;
  const Run run = Gather(c, Inputs(c), 2);
  check::That(run.bad == first, c.Name() + " names the first id outside", std::to_string(run.bad));
  check::That(run.y.bytes == Values(c.dtype, run.y.size()).bytes, c.Name() + " writes nothing then");
}

}  // namespace

int main() {
  for (const Case& c : Cases()) TestCase(c);
  for (const Case& c : Outside()) TestOutside(c);
  return check::Finish("embedding");
}
