// linear_cross_entropy on the device with its input gradient, an edge on every row, against its two bare products by
// cuBLASLt: logits = x W^T and dx = softmax W.
#include "linear_cross_entropy.h"

#include <memory>

#include "cuda_bench.h"
#include "gemm_on_device.h"
#include "reference/linear_cross_entropy.h"

namespace {

using bench::Drawn;
using check::Values;

struct Shape {
  int64_t rows, hidden, vocab;
};

struct Tensors {
  Shape shape;
  Drawn x, weight;
  device::Tensor dx;
  std::vector<int32_t> rows, targets;
  std::vector<float> weights;
  device::Array<int32_t> edge_rows, edge_targets;
  device::Array<float> edge_weights, loss, edge_losses;
  std::unique_ptr<device::Memory> workspace;

  Tensors(RocitDtype dtype, const Shape& s)
      : shape(s), x(dtype, s.rows * s.hidden, 1), weight(dtype, s.vocab * s.hidden, 2, std::sqrt(3.0 / s.hidden)),
        dx(dtype, s.rows * s.hidden), rows(Rows(s)), targets(Targets(s)), weights(s.rows, 1 / static_cast<float>(s.rows)),
        edge_rows(rows), edge_targets(targets), edge_weights(weights), loss(int64_t{1}), edge_losses(s.rows) {
    const RocitLinearCrossEntropyArgs args = Args();
    workspace = std::make_unique<device::Memory>(rocit_linear_cross_entropy_cuda_workspace(&args));
  }

  RocitCudaStatus Run() {
    const RocitLinearCrossEntropyArgs args = Args();
    const RocitCuda cuda = device::Cuda(workspace->data());
    return rocit_linear_cross_entropy_cuda(&args, &cuda);
  }

  // Two rows; the loss is the mean of the losses of the edges.
  void CheckValues() {
    const std::vector<float> losses = edge_losses.Read();
    double mean = 0;
    for (const float one : losses) mean += static_cast<double>(one) / static_cast<double>(shape.rows);
    check::That(std::fabs(loss.Read()[0] - mean) <= 2e-6 * mean, "linear_cross_entropy loss");
    const Values got = dx.Read();
    const std::vector<double> head = weight.host.Doubles();
    for (const int64_t row : {int64_t{0}, shape.rows - 1}) {
      const std::vector<double> one = bench::Slice(x.host, row * shape.hidden, shape.hidden).Doubles();
      std::vector<double> dx_twin(shape.hidden);
      const double expected = reference::LinearCrossEntropy(shape.hidden, shape.vocab, one, head, {0}, {targets[row]},
                                                            {weights[row]}, &dx_twin)[0];
      const double error = check::Error(bench::Slice(got, row * shape.hidden, shape.hidden).Doubles(), dx_twin);
      check::That(std::fabs(losses[row] - expected) <= 4e-6 * expected, "linear_cross_entropy edge loss",
                  std::to_string(losses[row]) + ", expected " + std::to_string(expected));
      // bfloat16: the result and the exponentials are rounded.
      check::That(error <= (x.host.dtype == ROCIT_FLOAT32 ? 1e-5 : 2 * 0x1p-8), "linear_cross_entropy dx",
                  "error " + std::to_string(error));
    }
  }

 private:
  RocitLinearCrossEntropyArgs Args() {
    return {x.host.dtype, shape.rows, shape.hidden, shape.vocab, shape.rows, x.data(), weight.data(), edge_rows.data(),
            edge_targets.data(), edge_weights.data(), loss.data(), edge_losses.data(), dx.data()};
  }
  static std::vector<int32_t> Rows(const Shape& s) {
    std::vector<int32_t> rows;
    for (int64_t n = 0; n < s.rows; ++n) rows.push_back(static_cast<int32_t>(n));
    return rows;
  }
  static std::vector<int32_t> Targets(const Shape& s) {
    check::Random random(5);
    std::vector<int32_t> targets;
    for (int64_t n = 0; n < s.rows; ++n) targets.push_back(static_cast<int32_t>(random.Bits() % s.vocab));
    return targets;
  }
};

void Bench(RocitDtype dtype, const Shape& shape) {
  Tensors t(dtype, shape);
  bench::Must(t.Run(), "linear_cross_entropy");
  t.CheckValues();
  bench::StopIfWrongOnDevice("linear_cross_entropy");
  const auto [n, c, v] = shape;
  device::Tensor logits(dtype, n * v), dx(dtype, n * c);
  bench::Product to_logits({dtype, dtype, n, v, c, t.x.data(), t.weight.data(), logits.data(), c, c, v, 0, 1, 0});
  bench::Product to_dx({dtype, dtype, n, c, v, logits.data(), t.weight.data(), dx.data(), v, c, c, 0, 0, 0});
  const auto bare = [&] {
    const RocitCudaStatus status = to_logits.Run();
    return status != 0 ? status : to_dx.Run();
  };
  const std::string name = std::to_string(n) + "x" + std::to_string(c) + " to " + std::to_string(v);
  bench::CompareOnDevice({"linear_cross_entropy", bench::DtypeName(dtype), name}, "TFLOP/s",
                         to_logits.operations() + to_dx.operations(), {"linear_cross_entropy", [&] { return t.Run(); }},
                         {"bare gemm", bare});
}

}  // namespace

int main(int argc, char** argv) {
  bench::ReadArguments(argc, argv);
  for (const Shape& shape : bench::Shapes<Shape>({9, 20, 101}, {{4096, 4096, 32000}, {2048, 576, 49152}})) {
    Bench(ROCIT_BFLOAT16, shape);
    if (shape.hidden < 1000) Bench(ROCIT_FLOAT32, shape);
  }
  return bench::ExitCode();
}
