// One LoRA step of LLaMA-7B's shape on the device, without TensorFlow: r = 16 on all linears, bfloat16, 4,096 tokens,
// random frozen weights, a loss edge on every token. Prints tokens a second, memory, and the share of each operation,
// with and without blocks that run again in the backward. Values of the same step at tiny shapes: llama_step_cuda_test.
#include "llama_machine_cuda.h"
#include "llama_step.h"

namespace {

constexpr double kGigabyte = 1e9;

// What the device has left, as it says.
double FreeBytes() {
#if ROCIT_CUDA_EMULATION
  return HUGE_VAL;
#else
  size_t free = 0, total = 0;
  bench::Must(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
  return static_cast<double>(free);
#endif
}

// About what a step needs: weights, adapters with their gradients and moments twice, what blocks keep, one block at work.
double NeededBytes(const llama::Shape& s, const cases::Pack& pack, bool recomputes) {
  const double weights = 2 * (s.Multiplied() + static_cast<double>(s.vocab * s.hidden));
  const double adapters = 28.0 * static_cast<double>(s.layers * s.rank * (9 * s.hidden + 2 * s.query_width() + 3 * s.intermediate));
  const double block = 2.0 * static_cast<double>(4 * s.hidden + 2 * s.query_width() + 2 * s.key_width() + 3 * s.intermediate);
  const double kept = static_cast<double>(s.layers) * (recomputes ? 4.0 * static_cast<double>(s.hidden) : block);
  return weights + adapters + (kept + 2.5 * block) * static_cast<double>(pack.size()) + 1e9;
}

// Useful operations: frozen weights forward and backward for the input alone, seven products of attention.
double Operations(const llama::Shape& shape, const cases::Pack& pack) {
  const double attention = 7 * 2 * pack.Visible() * static_cast<double>(shape.layers * shape.query_width());
  return 4 * shape.Multiplied() * static_cast<double>(pack.size()) + attention;
}

struct Result {
  float loss, norm;
};

Result Bench(const llama::Shape& shape, const cases::Pack& pack, bool recomputes) {
  const double free = FreeBytes();
  llama::Device machine(true);
  llama::Step step(&machine, shape, ROCIT_BFLOAT16, pack);
  int number = 0;
  const auto run = [&] {
    step.ForwardBackward(recomputes);
    step.Update(++number);
  };
  machine.ForgetPeak();
  run();
  const Result result = {step.Loss(), step.Stats()[0]};
  const std::string name = pack.name + (recomputes ? " recompute" : "");
  check::That(std::isfinite(result.loss) && result.loss > 0.5 * std::log(shape.vocab) && result.loss < 2 * std::log(shape.vocab),
              "llama_step " + name + " loss of random weights", std::to_string(result.loss));
  check::That(std::isfinite(result.norm) && result.norm > 0 && step.Stats()[1] == -1, "llama_step " + name + " gradient norm",
              std::to_string(result.norm));
  bench::StopIfWrongOnDevice("llama_step");

  std::vector<double> times;
  for (int i = 0; i < (bench::is_quick() ? 2 : 6); ++i) {
    bench::Stopwatch watch;
    watch.Start();
    run();
    watch.Stop();
    times.push_back(watch.Milliseconds());
  }
  const double milliseconds = bench::Median(times);
  std::printf("step\t%s\t%.1f\t%.0f\t%.1f\t%.2f\t%.2f\t%.4f\t%.4f\n", name.c_str(), milliseconds,
              static_cast<double>(pack.size()) / milliseconds * 1e3, Operations(shape, pack) / milliseconds / 1e9,
              static_cast<double>(machine.peak()) / kGigabyte, bench::kIsEmulated ? 0 : (free - FreeBytes()) / kGigabyte,
              result.loss, result.norm);

  machine.StartTiming();
  run();
  const auto timed = machine.StopTiming();
  std::vector<std::pair<std::string, llama::Device::Share>> shares(timed.begin(), timed.end());
  llama::Device::Share all;
  for (const auto& [op, share] : shares) all = {all.calls + share.calls, all.milliseconds + share.milliseconds};
  shares.emplace_back("sum of all", all);
  std::sort(shares.begin(), shares.end(), [](const auto& a, const auto& b) { return a.second.milliseconds > b.second.milliseconds; });
  for (const auto& [op, share] : shares) {
    std::printf("share\t%s\t%d\t%.3f\t%.1f\t%s\n", op.c_str(), share.calls, share.milliseconds,
                100 * share.milliseconds / all.milliseconds, name.c_str());
  }
  std::fflush(stdout);
  return result;
}

}  // namespace

int main(int argc, char** argv) {
  bench::ReadArguments(argc, argv);
  llama::Shape shape = llama::Llama7b();
  cases::Pack plain = cases::Sequences(1, 4096), tree = cases::RoleTree(4, 184, 10, 24, 3, 20);
  if (bench::is_quick()) shape.layers = 4;
  if (bench::kIsEmulated) {
    shape = {2, 32, 48, 2, 1, 16, 61, 4};
    plain = cases::Sequences(1, 24);
    tree = cases::RoleTree(2, 5, 1, 3, 2, 3);
  }
  const double needed = NeededBytes(shape, plain, false), free = FreeBytes();
  if (free < needed) {
    std::fprintf(stderr, "llama_step: expected %.1f GB of free memory to keep all blocks, got %.1f; recomputing alone.\n",
                 needed / kGigabyte, free / kGigabyte);
    if (free < NeededBytes(shape, plain, true)) return bench::ExitCode();
    Bench(shape, plain, true);
    Bench(shape, tree, true);
    return bench::ExitCode();
  }
  const Result kept = Bench(shape, plain, false), again = Bench(shape, plain, true);
  check::That(kept.loss == again.loss && kept.norm == again.norm, "llama_step recomputed has the same loss and gradient norm",
              std::to_string(again.loss) + " and " + std::to_string(again.norm));
  Bench(shape, tree, false);
  return bench::ExitCode();
}
