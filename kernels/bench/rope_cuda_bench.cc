// rope on the device, over the query heads, against a copy of as many bytes.
#include "rope.h"

#include "cuda_bench.h"
#include "reference/rope.h"

namespace {

using bench::Drawn;
using check::Values;

struct Shape {
  int64_t rows, heads, size;
  int64_t width() const { return heads * size; }
};

struct Tensors {
  Shape shape;
  Drawn x;
  device::Tensor y;
  std::vector<int32_t> positions;
  std::vector<float> inverse;
  device::Array<int32_t> position_ids;
  device::Array<float> inv_freq;

  Tensors(RocitDtype dtype, const Shape& s)
      : shape(s), x(dtype, s.rows * s.width(), 1), y(dtype, s.rows * s.width()), positions(Positions(s.rows)),
        inverse(Inverse(s.size)), position_ids(positions), inv_freq(inverse) {}

  RocitCudaStatus Run() {
    const int64_t width = shape.width();
    const RocitRopeArgs args = {x.host.dtype, shape.rows, shape.heads, shape.size, shape.size, width, width, 0, 1, x.data(),
                                position_ids.data(), inv_freq.data(), y.data()};
    const RocitCuda cuda = device::Cuda();
    return rocit_rope_cuda(&args, &cuda);
  }

  void CheckValues() {
    const Values got = y.Read();
    for (const int64_t row : {int64_t{0}, shape.rows / 2, shape.rows - 1}) {
      const auto at = [&](const Values& values) { return bench::Slice(values, row * shape.width(), shape.width()); };
      const reference::RopeSizes sizes = {static_cast<size_t>(shape.heads), static_cast<size_t>(shape.size), false, 1};
      check::IsNear(at(got), reference::Rope(at(x.host).Doubles(), {positions[row]}, inverse, sizes), "rope y");
    }
  }

 private:
  static std::vector<int32_t> Positions(int64_t rows) {
    std::vector<int32_t> positions;
    for (int64_t n = 0; n < rows; ++n) positions.push_back(static_cast<int32_t>(n));
    return positions;
  }
  static std::vector<float> Inverse(int64_t size) {
    std::vector<float> inverse;
    for (int64_t i = 0; i < size / 2; ++i) inverse.push_back(static_cast<float>(std::pow(10000.0, -2.0 * i / size)));
    return inverse;
  }
};

}  // namespace

int main(int argc, char** argv) {
  bench::ReadArguments(argc, argv);
  for (const RocitDtype dtype : {ROCIT_BFLOAT16, ROCIT_FLOAT32}) {
    for (const Shape& shape : bench::Shapes<Shape>({9, 3, 20}, {{4096, 32, 128}, {2048, 9, 64}})) {
      Tensors t(dtype, shape);
      bench::Must(t.Run(), "rope");
      t.CheckValues();
      bench::StopIfWrongOnDevice("rope");
      const std::string name =
          std::to_string(shape.rows) + "x" + std::to_string(shape.heads) + "x" + std::to_string(shape.size);
      const double bytes = 2 * static_cast<double>(t.x.host.bytes.size());
      bench::AgainstDeviceCopy({"rope", bench::DtypeName(dtype), name}, bytes, [&] { return t.Run(); });
    }
  }
  return bench::ExitCode();
}
