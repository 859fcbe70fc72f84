// read_tensor on the CPU: the cases on every vector path.
#include "cases/read_tensor.h"

namespace {

RocitReadResult ReadToHost(const read_tensor::Request& r) {
  check::Threads pool(r.threads);
  const RocitParallel parallel = pool.contract();
  const RocitReadTensorArgs args = {r.path, r.offset, r.count, r.source, r.y->dtype, r.check_finite, r.y->data()};
  return rocit_read_tensor(&args, &parallel);
}

}  // namespace

int main() {
  check::OnEachPath("read_tensor float16", [](const std::string& name) { read_tensor::TestEveryFloat16(&ReadToHost, name); });
  check::OnEachPath("read_tensor float32", [](const std::string& name) { read_tensor::TestFloat32Rounding(&ReadToHost, name); });
  read_tensor::TestPlaces(&ReadToHost, "read_tensor");
  read_tensor::TestErrors(&ReadToHost, "read_tensor");
  return check::Finish("read_tensor");
}
