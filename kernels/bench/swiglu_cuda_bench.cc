// swiglu on the device, forward and backward, against a copy of as many bytes.
#include "swiglu.h"

#include "cuda_bench.h"
#include "reference/swiglu.h"

namespace {

using bench::Drawn;
using check::Values;

struct Shape {
  int64_t rows, size;
};

struct Tensors {
  Shape shape;
  Drawn gate, up, dy;
  device::Tensor y, d_gate, d_up;

  Tensors(RocitDtype dtype, const Shape& s)
      : shape(s), gate(dtype, s.rows * s.size, 1, 4), up(dtype, s.rows * s.size, 2), dy(dtype, s.rows * s.size, 3),
        y(dtype, s.rows * s.size), d_gate(dtype, s.rows * s.size), d_up(dtype, s.rows * s.size) {}

  RocitCudaStatus Forward() {
    const RocitSwigluArgs args = {gate.host.dtype, shape.rows, shape.size, shape.size, shape.size, shape.size,
                                  gate.data(), up.data(), y.data()};
    const RocitCuda cuda = device::Cuda();
    return rocit_swiglu_cuda(&args, &cuda);
  }
  RocitCudaStatus Backward() {
    const int64_t f = shape.size;
    const RocitSwigluGradArgs args = {gate.host.dtype, shape.rows, f, f, f, f, f, f, dy.data(), gate.data(), up.data(),
                                      d_gate.data(), d_up.data()};
    const RocitCuda cuda = device::Cuda();
    return rocit_swiglu_grad_cuda(&args, &cuda);
  }

  void CheckValues() {
    const Values got_y = y.Read(), got_gate = d_gate.Read(), got_up = d_up.Read();
    for (const int64_t row : {int64_t{0}, shape.rows - 1}) {
      const auto at = [&](const Values& values) { return bench::Slice(values, row * shape.size, shape.size); };
      const std::vector<double> g = at(gate.host).Doubles(), u = at(up.host).Doubles(), d = at(dy.host).Doubles();
      std::vector<double> twin_y, twin_gate, twin_up;
      for (int64_t f = 0; f < shape.size; ++f) {
        twin_y.push_back(reference::Swiglu(g[f], u[f]));
        twin_gate.push_back(reference::SwigluGradGate(d[f], g[f], u[f]));
        twin_up.push_back(reference::SwigluGradUp(d[f], g[f]));
      }
      check::IsNear(at(got_y), twin_y, "swiglu y");
      check::IsNear(at(got_gate), twin_gate, "swiglu d_gate");
      check::IsNear(at(got_up), twin_up, "swiglu d_up");
    }
  }
};

}  // namespace

int main(int argc, char** argv) {
  bench::ReadArguments(argc, argv);
  for (const RocitDtype dtype : {ROCIT_BFLOAT16, ROCIT_FLOAT32}) {
    for (const Shape& shape : bench::Shapes<Shape>({9, 200}, {{4096, 11008}, {2048, 1536}})) {
      Tensors t(dtype, shape);
      bench::Must(t.Forward(), "swiglu");
      bench::Must(t.Backward(), "swiglu grad");
      t.CheckValues();
      bench::StopIfWrongOnDevice("swiglu");
      const std::string name = std::to_string(shape.rows) + "x" + std::to_string(shape.size);
      const double bytes = static_cast<double>(t.gate.host.bytes.size());
      bench::AgainstDeviceCopy({"swiglu", bench::DtypeName(dtype), name}, 3 * bytes, [&] { return t.Forward(); });
      bench::AgainstDeviceCopy({"swiglu grad", bench::DtypeName(dtype), name}, 5 * bytes, [&] { return t.Backward(); });
    }
  }
  return bench::ExitCode();
}
