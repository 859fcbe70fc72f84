// A whole LoRA step of a tiny LLaMA on the device, chained as bench/llama_step_cuda_bench.cc chains it, against the same
// step from the processor's operations: losses, gradients and updated adapters.
#include "../bench/llama_machine_cuda.h"
#include "cases/llama_step.h"

namespace {

using cases::LlamaResults;

double ErrorOf(const std::vector<float>& got, const std::vector<float>& expected) {
  return check::Error(std::vector<double>(got.begin(), got.end()), std::vector<double>(expected.begin(), expected.end()));
}

// Of a whole tensor: AdamW's first steps go by the signs of the gradients, and those near zero turn by rounding alone.
double UpdateError(const LlamaResults& got, const LlamaResults& expected, size_t i) {
  double difference = 0, size = 0;
  for (size_t j = 0; j < expected.updates[i].size(); ++j) {
    const double update = expected.updates[i][j];
    difference += (got.updates[i][j] - update) * (got.updates[i][j] - update);
    size += update * update;
  }
  return std::sqrt(difference / size);
}

// Each tensor within `bound`; where a coarser step is given, within twice its own error to `expected` if that is more.
void Compare(const LlamaResults& got, const LlamaResults& expected, const LlamaResults* coarse, double bound,
             const std::string& name) {
  const auto is_near = [&](const std::vector<float>& a, const std::vector<float>& b, const std::vector<float>* c,
                           const std::string& what) {
    const double limit = c != nullptr ? std::fmax(bound, 2 * ErrorOf(*c, b)) : bound, error = ErrorOf(a, b);
    check::That(error <= limit, name + " " + what, "error " + std::to_string(error) + ", bound " + std::to_string(limit));
  };
  is_near(got.losses, expected.losses, coarse != nullptr ? &coarse->losses : nullptr, "losses");
  is_near(got.norms, expected.norms, coarse != nullptr ? &coarse->norms : nullptr, "gradient norms");
  for (size_t i = 0; i < got.gradients.size(); ++i) {
    const std::string adapter = llama::Step::AdapterName(i);
    is_near(got.gradients[i], expected.gradients[i], coarse != nullptr ? &coarse->gradients[i] : nullptr, "gradient of " + adapter);
    const double limit = coarse != nullptr ? std::fmax(0.25, 2 * UpdateError(*coarse, expected, i)) : 0.05;
    const double error = UpdateError(got, expected, i);
    check::That(error <= limit, name + " update of " + adapter, std::to_string(error) + ", bound " + std::to_string(limit));
  }
}

bool IsSame(const LlamaResults& a, const LlamaResults& b) {
  return a.losses == b.losses && a.norms == b.norms && a.gradients == b.gradients && a.updates == b.updates;
}

LlamaResults OnDevice(const cases::LlamaCase& c, RocitDtype dtype, bool recomputes, bool caches) {
  llama::Device machine(caches);
  const LlamaResults results = cases::RunSteps(&machine, c, dtype, recomputes);
  device::IsDone(0, c.name);
  return results;
}

}  // namespace

int main() {
  check::Threads pool(2);
  llama::Processor processor(pool.contract());
  for (const cases::LlamaCase& c : cases::LlamaCases()) {
    const LlamaResults exact = cases::RunSteps(&processor, c, ROCIT_FLOAT32, false);
    const LlamaResults coarse = cases::RunSteps(&processor, c, ROCIT_BFLOAT16, false);
    const LlamaResults single = OnDevice(c, ROCIT_FLOAT32, false, false);
    Compare(single, exact, nullptr, 2e-5, c.name + " float32");
    Compare(OnDevice(c, ROCIT_BFLOAT16, false, false), exact, &coarse, 2e-3, c.name + " bfloat16");
    check::That(IsSame(OnDevice(c, ROCIT_FLOAT32, true, false), single), c.name + " recomputed has the same bits");
    check::That(IsSame(OnDevice(c, ROCIT_FLOAT32, false, true), single), c.name + " with reused memory has the same bits");
  }
  return check::Finish("llama_step_cuda");
}
