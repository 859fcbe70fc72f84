// tree_attention on the device: causal sequences, short ones side by side, a role tree. Rates count the visible area
// only. The baseline is one product of as many operations by cuBLASLt; PyTorch's kernels are joined by gpu_check.sh.
#include "cases/tree_attention.h"

#include "cuda_bench.h"
#include "gemm_on_device.h"

namespace {

using namespace tree_attention;

void Bench(const Case& c, RocitDtype dtype) {
  const Inputs in(c, dtype);
  Tensors<device::OnDevice> t(c, in);
  const RocitTreeAttentionArgs forward = t.Forward();
  const RocitTreeAttentionGradArgs backward = t.Backward(nullptr);
  device::Memory workspace(static_cast<size_t>(std::max(rocit_tree_attention_cuda_workspace(&forward.in),
                                                        rocit_tree_attention_grad_cuda_workspace(&forward.in))));
  const RocitCuda cuda = device::Cuda(workspace.data());
  const auto run = [&] { return rocit_tree_attention_cuda(&forward, &cuda); };
  const auto run_back = [&] { return rocit_tree_attention_grad_cuda(&backward, &cuda); };
  bench::Must(run(), "tree_attention");
  bench::Must(run_back(), "tree_attention grad");
  Twin(c, in).Compare(t.Read(), c.Name(dtype), LongBounds());
  bench::StopIfWrongOnDevice(c.Name(dtype));
  bench::SquareProduct baseline(dtype, bench::kIsEmulated ? 16 : 4096);
  const auto row = [&](const char* op, double products, const std::function<RocitCudaStatus()>& work) {
    const double operations = 2 * products * c.Product();
    bench::CompareOnDevice({op, bench::DtypeName(dtype), c.Shape()}, "TFLOP/s", operations, {op, work},
                           {"gemm", [&] { return baseline.Run(); }, operations / baseline.operations()});
  };
  row("tree_attention", 2, run);
  row("tree_attention grad", 5, run_back);
}

}  // namespace

int main(int argc, char** argv) {
  bench::ReadArguments(argc, argv);
  for (const RocitDtype dtype : {ROCIT_BFLOAT16, ROCIT_FLOAT32}) {
    for (const Case& c : bench::Chosen(TimedCases(dtype))) Bench(c, dtype);
  }
  return bench::ExitCode();
}
