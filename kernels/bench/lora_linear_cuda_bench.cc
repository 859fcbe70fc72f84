// lora_linear on the device, rank 16 on all projections of one input, against the bare products of the frozen weights
// by cuBLASLt: forward y = x W^T of each, backward dx = sum of dy W.
#include "cases/lora_linear.h"

#include <memory>

#include "cuda_bench.h"
#include "gemm_on_device.h"

namespace {

using namespace lora_linear;

std::string ShapeOf(const Case& c) {
  std::string name = std::to_string(c.rows) + "x" + std::to_string(c.in) + " to ";
  for (const Part& part : c.parts) name += (&part == &c.parts[0] ? "" : ",") + std::to_string(part.out);
  return name + " r=" + std::to_string(c.parts[0].rank);
}

// The bare products of one direction, into the tensors of the operation itself.
std::vector<std::unique_ptr<bench::Product>> Products(Tensors<device::OnDevice>* t, bool is_forward) {
  std::vector<std::unique_ptr<bench::Product>> products;
  for (size_t p = 0; p < t->projections.size(); ++p) {
    const int64_t out = t->c.parts[p].out, rows = t->c.rows, in = t->c.in;
    RocitGemmArgs args = {t->dtype,     t->dtype, rows, out, in, t->x.data(), t->weight[p].data(),
                          t->y_data[p], in,       in,   out, 0,  1,           0};
    if (!is_forward) {
      args = {t->dtype,     t->dtype, rows, in, out, t->dy_data[p], t->weight[p].data(),
              t->dx.data(), out,      in,   in, 0,   0,             p > 0 ? 1.0f : 0.0f};
    }
    products.push_back(std::make_unique<bench::Product>(args));
  }
  return products;
}

void Bench(const Case& c, RocitDtype dtype) {
  const Inputs in(c, dtype);
  Tensors<device::OnDevice> t(c, in);
  const RocitLoraLinearArgs forward = t.Forward();
  const RocitLoraLinearGradArgs backward = t.Backward();
  device::Memory workspace(static_cast<size_t>(
      std::max(rocit_lora_linear_cuda_workspace(&forward), rocit_lora_linear_grad_cuda_workspace(&backward))));
  const RocitCuda cuda = device::Cuda(workspace.data());
  const auto run = [&] { return rocit_lora_linear_cuda(&forward, &cuda); };
  const auto run_back = [&] { return rocit_lora_linear_grad_cuda(&backward, &cuda); };
  bench::Must(run(), "lora_linear");
  bench::Must(run_back(), "lora_linear grad");
  // float32: sums of up to 30,000 addends in another order. bfloat16: results and adapters are rounded.
  const double bound = dtype == ROCIT_FLOAT32 ? 1e-5 : 2 * 0x1p-8;
  const cases::Near near = cases::Within(bound, bound);
  CompareWithTwin(c, Twin(c, in), t.Read(), std::string("lora_linear ") + bench::DtypeName(dtype) + " " + ShapeOf(c),
                  [&](const Values& got, const std::vector<double>& expected, const std::string& promise, int64_t) {
                    near(got, expected, promise, 0);
                  });
  bench::StopIfWrongOnDevice("lora_linear");
  const double frozen = 2.0 * static_cast<double>(c.rows * c.in * c.OutWidth());
  const double adapters = 2.0 * static_cast<double>(c.rows * c.parts[0].rank * (c.in * c.count() + c.OutWidth()));
  for (const bool is_forward : {true, false}) {
    const auto products = Products(&t, is_forward);
    const auto bare = [&] {
      RocitCudaStatus status = 0;
      for (const auto& product : products) status = status != 0 ? status : product->Run();
      return status;
    };
    const double operations = frozen + (is_forward ? 1 : 2) * adapters;
    const char* op = is_forward ? "lora_linear" : "lora_linear grad";
    bench::CompareOnDevice({op, bench::DtypeName(dtype), ShapeOf(c)}, "TFLOP/s", operations,
                           {op, [&] { return is_forward ? run() : run_back(); }}, {"bare gemm", bare});
  }
}

}  // namespace

int main(int argc, char** argv) {
  bench::ReadArguments(argc, argv);
  for (const RocitDtype dtype : {ROCIT_BFLOAT16, ROCIT_FLOAT32}) {
    for (const Case& c : bench::Chosen(TimedCases(dtype))) Bench(c, dtype);
  }
  return bench::ExitCode();
}
