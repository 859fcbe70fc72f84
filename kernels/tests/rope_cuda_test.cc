// rope on the device: against the float64 twin, the same bits in every order, memory that is not aligned, angles.
#include "cases/rope.h"
#include "device_memory.h"

namespace {

using namespace rope;

std::vector<Values> Run(const Case& c, const Inputs& in, int direction, int64_t shift, const std::string& name) {
  Tensors<device::OnDevice> t(c, in, shift);
  const RocitCuda cuda = device::Cuda();
  const RocitRopeArgs args = t.Args(direction);
  device::IsDone(rocit_rope_cuda(&args, &cuda), name);
  return t.Read();
}

void TestCase(const Case& c) {
  const Inputs in(c);
  for (const int direction : {1, -1}) {
    for (const int64_t shift : {0, 1}) {
      const std::string title = c.Name() + (direction < 0 ? " backwards" : "") + (shift > 0 ? " not aligned" : "");
      const std::vector<Values> first = Run(c, in, direction, shift, title);
      AreNear(first, c, in, direction, title);
      device::InEachOrder([&](const std::string& order) {
        check::That(IsSame(Run(c, in, direction, shift, title), first), title + " has the same bits with " + order);
      });
    }
  }
}

}  // namespace

int main() {
  std::vector<Case> cases = Cases();
  // Many rows a block; rows apart that stay aligned; rows longer than a block; a table that is more than a block keeps.
  for (const RocitDtype dtype : {ROCIT_FLOAT32, ROCIT_BFLOAT16}) {
    for (const bool interleaved : {false, true}) {
      cases.push_back({dtype, 37, {1}, 16, 16, interleaved, 0, 100});
      cases.push_back({dtype, 5, {3, 1}, 64, 32, interleaved, 16, 100});
      cases.push_back({dtype, 3, {33, 3}, 128, 128, interleaved, 8, 4000});
      cases.push_back({dtype, 2, {1, 2}, 6000, 6000, interleaved, 0, 100});
    }
  }
  for (const Case& c : cases) TestCase(c);
  for (const float frequency : Frequencies()) {
    const std::string name = "rope by " + std::to_string(frequency);
    const Angles angles(frequency);
    angles.Check(Run(angles.c, angles.in, 1, 0, name)[0], name);
  }
  return check::Finish("rope_cuda");
}
