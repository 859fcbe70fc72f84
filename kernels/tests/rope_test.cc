// rope: against the float64 twin, on every vector path, with 1 to 4 threads; rows apart; back again by direction -1.
#include "cases/rope.h"

namespace {

using namespace rope;

Values Run(const Case& c, const Inputs& in, int direction, int threads, int64_t grain) {
  Tensors<cases::OnHost> t(c, in);
  check::Threads pool(threads, grain);
  const RocitParallel parallel = pool.contract();
  const RocitRopeArgs args = t.Args(direction);
  rocit_rope(&args, &parallel);
  return t.y;
}

void TestCase(const Case& c) {
  const Inputs in(c);
  for (const int direction : {1, -1}) {
    const std::vector<double> expected = Twin(c, in, direction);
    const std::string title = c.Name() + (direction < 0 ? " backwards" : "");
    rocit_force_path(ROCIT_PORTABLE);
    const Values portable = Run(c, in, direction, 1, 1);
    check::OnEachPath(title, [&](const std::string& name) {
      const Values one = Run(c, in, direction, 1, 1000);
      check::IsNear(one, expected, name);
      check::That(one.bytes == portable.bytes, name + " has the bits of the portable path");
      bool is_same = true;
      for (int threads = 2; threads <= 4; ++threads) {
        is_same = is_same && Run(c, in, direction, threads, 1).bytes == one.bytes;
      }
      check::That(is_same, name + " does not depend on the number of threads");
    });
  }
}

void TestAngles() {
  for (const float frequency : Frequencies()) {
    const Angles angles(frequency);
    check::OnEachPath("rope by " + std::to_string(frequency), [&](const std::string& name) {
      angles.Check(Run(angles.c, angles.in, 1, 2, 1000), name);
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
