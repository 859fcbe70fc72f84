// embedding on the device: rows are copied byte for byte, aligned or not; ids outside of the table touch no memory.
#include "cases/embedding.h"
#include "device_memory.h"

namespace {

using namespace embedding;

Values Gather(const Case& c, const Inputs& in, int64_t shift) {
  Tensors<device::OnDevice> t(c, in, shift);
  const RocitCuda cuda = device::Cuda();
  const RocitEmbeddingArgs args = t.Args();
  device::IsDone(rocit_embedding_cuda(&args, &cuda), c.Name());
  return t.y.Read();
}

void TestCase(const Case& c) {
  const Inputs in(c);
  for (const int64_t shift : {0, 1}) {
    device::InEachOrder([&](const std::string& order) {
      check::That(IsGathered(c, in, Gather(c, in, shift)),
                  c.Name() + " copies rows" + (shift > 0 ? ", not aligned, " : ", ") + order);
    });
  }
}

void TestOutside(const Case& c) {
  const Inputs in(c);
  check::That(IsGathered(c, in, Gather(c, in, 0)), c.Name() + " gives NaN for ids outside and the rows of the others");
}

}  // namespace

int main() {
  for (const Case& c : Cases()) TestCase(c);
  for (const Case& c : Outside()) TestOutside(c);
  return check::Finish("embedding_cuda");
}
