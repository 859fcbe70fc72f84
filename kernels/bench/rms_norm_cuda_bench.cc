// rms_norm with residual on the device, forward and backward, against a copy of as many bytes.
#include "rms_norm.h"

#include "cuda_bench.h"
#include "reference/rms_norm.h"

namespace {

using bench::Drawn;
using check::Values;

struct Shape {
  int64_t rows, columns;
};

struct Tensors {
  Shape shape;
  Drawn x, residual, weight, dy, dsum;
  device::Tensor y, sum, rstd, dx;

  Tensors(RocitDtype dtype, const Shape& s)
      : shape(s), x(dtype, s.rows * s.columns, 1), residual(dtype, s.rows * s.columns, 2), weight(dtype, s.columns, 3),
        dy(dtype, s.rows * s.columns, 4), dsum(dtype, s.rows * s.columns, 5), y(dtype, s.rows * s.columns),
        sum(dtype, s.rows * s.columns), rstd(ROCIT_FLOAT32, s.rows), dx(dtype, s.rows * s.columns) {}

  RocitCudaStatus Forward() {
    const RocitRmsNormArgs args = {x.host.dtype, shape.rows, shape.columns, 1e-5f, x.data(), residual.data(), weight.data(),
                                   y.data(), sum.data(), rstd.floats()};
    const RocitCuda cuda = device::Cuda();
    return rocit_rms_norm_cuda(&args, &cuda);
  }
  RocitCudaStatus Backward() {
    const RocitRmsNormGradArgs args = {x.host.dtype, shape.rows, shape.columns, dy.data(), dsum.data(), sum.data(),
                                       weight.data(), rstd.floats(), dx.data()};
    const RocitCuda cuda = device::Cuda();
    return rocit_rms_norm_grad_cuda(&args, &cuda);
  }

  // The first and the last row: the twin's gradient takes the square of the columns.
  void CheckValues() {
    const Values got_y = y.Read(), got_sum = sum.Read(), got_dx = dx.Read();
    for (const int64_t row : {int64_t{0}, shape.rows - 1}) {
      const auto at = [&](const Values& values) { return bench::Slice(values, row * shape.columns, shape.columns); };
      std::vector<double> added = at(x.host).Doubles(), rstd(1);
      for (int64_t c = 0; c < shape.columns; ++c) added[c] += residual.host.Get(row * shape.columns + c);
      const Values rounded(x.host.dtype, added);
      check::That(at(got_sum).bytes == rounded.bytes, "rms_norm sum");
      const std::vector<double> weights = weight.host.Doubles(), s = rounded.Doubles();
      check::IsNear(at(got_y), reference::RmsNorm(s, weights, 1e-5, &rstd), "rms_norm y");
      check::IsNear(at(got_dx), reference::RmsNormGrad(at(dy.host).Doubles(), at(dsum.host).Doubles(), s, weights, rstd),
                    "rms_norm dx");
    }
  }
};

}  // namespace

int main(int argc, char** argv) {
  bench::ReadArguments(argc, argv);
  for (const RocitDtype dtype : {ROCIT_BFLOAT16, ROCIT_FLOAT32}) {
    for (const Shape& shape : bench::Shapes<Shape>({9, 200}, {{4096, 4096}, {2048, 576}})) {
      Tensors t(dtype, shape);
      bench::Must(t.Forward(), "rms_norm");
      bench::Must(t.Backward(), "rms_norm grad");
      t.CheckValues();
      bench::StopIfWrongOnDevice("rms_norm");
      const std::string name = std::to_string(shape.rows) + "x" + std::to_string(shape.columns);
      const double bytes = 4 * static_cast<double>(t.x.host.bytes.size());
      bench::AgainstDeviceCopy({"rms_norm", bench::DtypeName(dtype), name}, bytes, [&] { return t.Forward(); });
      bench::AgainstDeviceCopy({"rms_norm grad", bench::DtypeName(dtype), name}, bytes, [&] { return t.Backward(); });
    }
  }
  return bench::ExitCode();
}
