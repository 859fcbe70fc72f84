// rope: against the float64 twin, on every vector path, with 1 to 4 threads; rows apart; back again by direction -1.
#include "cases/rope.h"

namespace {

using namespace rope;

std::vector<Values> Run(const Case& c, const Inputs& in, int direction, int threads, int64_t grain) {
  Tensors<cases::OnHost> t(c, in);
  check::Threads pool(threads, grain);
  const RocitParallel parallel = pool.contract();
  const RocitRopeArgs args = t.Args(direction);
  rocit_rope(&args, &parallel);
  return t.Read();
}

void TestCase(const Case& c) {
  const Inputs in(c);
  for (const int direction : {1, -1}) {
    const std::string title = c.Name() + (direction < 0 ? " backwards" : "");
    rocit_force_path(ROCIT_PORTABLE);
    const std::vector<Values> portable = Run(c, in, direction, 1, 1);
    check::OnEachPath(title, [&](const std::string& name) {
      const std::vector<Values> one = Run(c, in, direction, 1, 1000);
      AreNear(one, c, in, direction, name);
      check::That(IsSame(one, portable), name + " has the bits of the portable path");
      bool is_same = true;
      for (int threads = 2; threads <= 4; ++threads) {
        is_same = is_same && IsSame(Run(c, in, direction, threads, 1), one);
      }
      check::That(is_same, name + " does not depend on the number of threads");
    });
  }
}

void TestAngles() {
  for (const float frequency : Frequencies()) {
    const Angles angles(frequency);
    check::OnEachPath("rope by " + std::to_string(frequency), [&](const std::string& name) {
      angles.Check(Run(angles.c, angles.in, 1, 2, 1000)[0], name);
    });
  }
}

}  // namespace

int main() {
  const RocitPath best = rocit_path();
  for (const Case& c : Cases()) {
    rocit_force_path(best);
    TestCase(c);
  }
  rocit_force_path(best);
  TestAngles();
  return check::Finish("rope");
}
