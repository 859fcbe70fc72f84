// The tiny steps that llama_step_test and llama_step_cuda_test run: shapes, packs, and what is compared.
#ifndef ROCIT_TESTS_CASES_LLAMA_STEP_H_
#define ROCIT_TESTS_CASES_LLAMA_STEP_H_

#include <string>
#include <vector>

#include "../../bench/llama_step.h"

namespace cases {

struct LlamaCase {
  std::string name;
  llama::Shape shape;
  Pack pack;
};

// Sizes that are multiples of what vectors and tiles take, and sizes that are not.
inline std::vector<LlamaCase> LlamaCases() {
  return {{"llama_step role tree", {2, 64, 96, 4, 2, 16, 97, 16}, RoleTree(2, 7, 2, 3, 2, 4)},
          {"llama_step sequences", {2, 36, 51, 3, 1, 12, 53, 5}, Sequences(2, 9)}};
}

struct LlamaResults {
  std::vector<float> losses, norms;
  std::vector<std::vector<float>> gradients, updates;  // of the first step; of all steps
  int64_t peak = 0;
};

inline LlamaResults RunSteps(llama::Machine* machine, const LlamaCase& c, RocitDtype dtype, bool recomputes) {
  LlamaResults results;
  llama::Step step(machine, c.shape, dtype, c.pack);
  const std::vector<std::vector<float>> start = step.Adapters();
  machine->ForgetPeak();
  for (int number = 1; number <= 2; ++number) {
    step.ForwardBackward(recomputes);
    step.Update(number);
    results.losses.push_back(step.Loss());
    results.norms.push_back(step.Stats()[0]);
    if (number == 1) results.gradients = step.Gradients();
  }
  results.updates = step.Adapters();
  for (size_t i = 0; i < start.size(); ++i) {
    for (size_t j = 0; j < start[i].size(); ++j) results.updates[i][j] -= start[i][j];
  }
  results.peak = machine->peak();
  return results;
}

}  // namespace cases

#endif  // ROCIT_TESTS_CASES_LLAMA_STEP_H_
