// linear_cross_entropy on the device with its input gradient, an edge on every row, against its two bare products by
// cuBLASLt: logits = x W^T and dx = softmax W.
#include "cases/linear_cross_entropy.h"

#include "cuda_bench.h"
#include "gemm_on_device.h"

namespace {

using namespace linear_cross_entropy;

void Bench(const Case& c, RocitDtype dtype) {
  const Inputs in(c, dtype);
  Tensors<device::OnDevice> t(c, in);
  const RocitLinearCrossEntropyArgs args = t.Args();
  device::Memory workspace(static_cast<size_t>(rocit_linear_cross_entropy_cuda_workspace(&args)));
  const RocitCuda cuda = device::Cuda(workspace.data());
  const auto run = [&] { return rocit_linear_cross_entropy_cuda(&args, &cuda); };
  bench::Must(run(), "linear_cross_entropy");
  // Losses are float32. dx: sums over the vocabulary; in bfloat16 the result and the exponentials are rounded.
  CompareWithTwin(c, Twin(c, in), t.Read(), NameOf(c, dtype), cases::Within(4e-6, 0, false),
                  cases::Within(1e-5, 2 * 0x1p-8, false));
  bench::StopIfWrongOnDevice(NameOf(c, dtype));
  const int64_t rows = c.rows, hidden = c.hidden, vocab = c.vocab;
  device::Tensor logits(dtype, rows * vocab), dx(dtype, rows * hidden);
  bench::Product to_logits({dtype, dtype, rows, vocab, hidden, t.x.data(), t.weight.data(), logits.data(), hidden,
                            hidden, vocab, 0, 1, 0});
  bench::Product to_dx({dtype, dtype, rows, hidden, vocab, logits.data(), t.weight.data(), dx.data(), vocab, hidden,
                        hidden, 0, 0, 0});
  const auto bare = [&] {
    const RocitCudaStatus status = to_logits.Run();
    return status != 0 ? status : to_dx.Run();
  };
  const std::string shape = std::to_string(rows) + "x" + std::to_string(hidden) + " to " + std::to_string(vocab);
  bench::CompareOnDevice({"linear_cross_entropy", bench::DtypeName(dtype), shape}, "TFLOP/s",
                         to_logits.operations() + to_dx.operations(), {"linear_cross_entropy", run},
                         {"bare gemm", bare});
}

}  // namespace

int main(int argc, char** argv) {
  bench::ReadArguments(argc, argv);
  for (const RocitDtype dtype : {ROCIT_BFLOAT16, ROCIT_FLOAT32}) {
    for (const Case& c : bench::Chosen(TimedCases(dtype))) Bench(c, dtype);
  }
  return bench::ExitCode();
}
