// A whole LoRA step of a tiny LLaMA, chained from the processor's operations: its gradients against differences of the
// loss, blocks that run again in the backward, and what an update changes. The device's step is held to this one.
#include "../bench/llama_step.h"

#include "cases/llama_step.h"

namespace {

using Lists = std::vector<std::vector<float>>;

double Dot(const Lists& a, const Lists& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    for (size_t j = 0; j < a[i].size(); ++j) sum += static_cast<double>(a[i][j]) * b[i][j];
  }
  return sum;
}

Lists Moved(const Lists& from, const Lists& direction, double by) {
  Lists to = from;
  for (size_t i = 0; i < to.size(); ++i) {
    for (size_t j = 0; j < to[i].size(); ++j) to[i][j] += static_cast<float>(by * direction[i][j]);
  }
  return to;
}

// The slope of the loss along a direction in one adapter alone, by central differences.
double Slope(llama::Step* step, const Lists& adapters, const Lists& direction) {
  const double by = 0.003 / std::sqrt(Dot(direction, direction));
  double losses[2];
  for (int side = 0; side < 2; ++side) {
    step->SetAdapters(Moved(adapters, direction, side == 0 ? by : -by));
    step->ForwardBackward(false);
    losses[side] = step->Loss();
  }
  step->SetAdapters(adapters);
  return (losses[0] - losses[1]) / (2 * by);
}

void TestGradients(const cases::LlamaCase& c, llama::Machine* machine) {
  llama::Step step(machine, c.shape, ROCIT_FLOAT32, c.pack);
  step.ForwardBackward(false);
  const Lists adapters = step.Adapters(), gradients = step.Gradients();
  for (size_t i = 0; i < gradients.size(); ++i) {
    Lists direction(gradients.size());
    for (size_t j = 0; j < gradients.size(); ++j) direction[j].assign(gradients[j].size(), 0);
    direction[i] = gradients[i];
    const double expected = Dot(direction, gradients), got = Slope(&step, adapters, direction);
    check::That(expected > 0 && std::fabs(got - expected) <= 1e-2 * expected,
                c.name + " slope along " + llama::Step::AdapterName(i),
                std::to_string(got) + ", expected " + std::to_string(expected));
  }
}

void TestRecompute(const cases::LlamaCase& c, RocitDtype dtype, llama::Machine* machine) {
  const cases::LlamaResults kept = cases::RunSteps(machine, c, dtype, false);
  const cases::LlamaResults again = cases::RunSteps(machine, c, dtype, true);
  check::That(kept.losses == again.losses && kept.gradients == again.gradients && kept.updates == again.updates,
              c.name + " recomputed has the same bits");
  check::That(again.peak < kept.peak, c.name + " recomputed takes less memory",
              std::to_string(again.peak) + " of " + std::to_string(kept.peak));
  check::That(kept.losses.back() < kept.losses.front(), c.name + " loss falls");
  check::That(machine->live() == 0, c.name + " frees all");
}

}  // namespace

int main() {
  check::Threads pool(2);
  llama::Processor machine(pool.contract());
  for (const cases::LlamaCase& c : cases::LlamaCases()) {
    TestGradients(c, &machine);
    for (const RocitDtype dtype : {ROCIT_FLOAT32, ROCIT_BFLOAT16}) TestRecompute(c, dtype, &machine);
  }
  return check::Finish("llama_step");
}
