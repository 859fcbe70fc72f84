// embedding on the device, against a copy of as many bytes.
#include "embedding.h"

#include "cuda_bench.h"

namespace {

using bench::Drawn;
using check::Values;

struct Shape {
  int64_t vocab, hidden, ids;
};

struct Tensors {
  Shape shape;
  Drawn weight;
  device::Tensor y;
  std::vector<int32_t> chosen;
  device::Array<int32_t> ids;

  Tensors(RocitDtype dtype, const Shape& s)
      : shape(s), weight(dtype, s.vocab * s.hidden, 1), y(dtype, s.ids * s.hidden), chosen(Choose(s)), ids(chosen) {}

  RocitCudaStatus Run() {
    const RocitEmbeddingArgs args = {weight.host.dtype, shape.vocab, shape.hidden, shape.ids, weight.data(), ids.data(),
                                     y.data()};
    const RocitCuda cuda = device::Cuda();
    return rocit_embedding_cuda(&args, &cuda);
  }

  void CheckValues() {
    const Values got = y.Read();
    bool is_same = true;
    for (int64_t n = 0; n < shape.ids; ++n) {
      is_same = is_same && bench::Slice(got, n * shape.hidden, shape.hidden).bytes ==
                               bench::Slice(weight.host, chosen[n] * shape.hidden, shape.hidden).bytes;
    }
    check::That(is_same, "embedding rows");
  }

 private:
  static std::vector<int32_t> Choose(const Shape& s) {
    check::Random random(2);
    std::vector<int32_t> ids;
    for (int64_t n = 0; n < s.ids; ++n) ids.push_back(static_cast<int32_t>(random.Bits() % s.vocab));
    return ids;
  }
};

}  // namespace

int main(int argc, char** argv) {
  bench::ReadArguments(argc, argv);
  for (const RocitDtype dtype : {ROCIT_BFLOAT16, ROCIT_FLOAT32}) {
    for (const Shape& shape : bench::Shapes<Shape>({50, 33, 9}, {{32000, 4096, 4096}, {49152, 576, 2048}})) {
      Tensors t(dtype, shape);
      bench::Must(t.Run(), "embedding");
      t.CheckValues();
      bench::StopIfWrongOnDevice("embedding");
      const std::string name = std::to_string(shape.ids) + "x" + std::to_string(shape.hidden) + " of " + std::to_string(shape.vocab);
      const double bytes = 2.0 * static_cast<double>(shape.ids * shape.hidden) * (dtype == ROCIT_FLOAT32 ? 4 : 2);
      bench::AgainstDeviceCopy({"embedding", bench::DtypeName(dtype), name}, bytes, [&] { return t.Run(); });
    }
  }
  return bench::ExitCode();
}
