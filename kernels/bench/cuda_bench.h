// The harness of the benches of CUDA kernels: events around a call, a cold second-level cache before it, medians of
// interleaved repeats, a copy within the device's memory as the baseline of what memory bounds. Rows go to stdout for
// scripts/gpu_check.sh. In the emulator the same programs run once at tiny shapes, and their times mean nothing.
#ifndef ROCIT_BENCH_CUDA_BENCH_H_
#define ROCIT_BENCH_CUDA_BENCH_H_

#include <cstring>

#include "bench.h"
#include "cases/timed.h"
#include "device_memory.h"

#if !ROCIT_CUDA_EMULATION
#include <cuda_runtime_api.h>
#endif

namespace bench {

#if ROCIT_CUDA_EMULATION
inline constexpr bool kIsEmulated = true;
#else
inline constexpr bool kIsEmulated = false;
#endif

// --quick: fewer shapes, fewer repeats.
inline bool& is_quick() {
  static bool value = kIsEmulated;
  return value;
}

inline void ReadArguments(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) is_quick() = is_quick() || std::strcmp(argv[i], "--quick") == 0;
}

// The cases to run: all, the first of them, or in the emulator tiny ones.
template <class Case>
std::vector<Case> Chosen(const cases::Timed<Case>& timed) {
  if (kIsEmulated) return timed.emulated;
  return is_quick() ? std::vector<Case>(timed.device.begin(), timed.device.begin() + timed.quick) : timed.device;
}

inline void Must(RocitCudaStatus status, const char* what) {
  if (status == 0) return;
  check::That(false, what, device::Describe(status));
  std::exit(1);
}

// Time between two points of the default stream.
class Stopwatch {
 public:
#if ROCIT_CUDA_EMULATION
  void Start() { start_ = std::chrono::steady_clock::now(); }
  void Stop() { stop_ = std::chrono::steady_clock::now(); }
  double Milliseconds() { return std::chrono::duration<double>(stop_ - start_).count() * 1e3; }

 private:
  std::chrono::steady_clock::time_point start_, stop_;
#else
  Stopwatch() {
    Must(cudaEventCreate(&start_), "cudaEventCreate");
    Must(cudaEventCreate(&stop_), "cudaEventCreate");
  }
  Stopwatch(Stopwatch&& other) noexcept : start_(other.start_), stop_(other.stop_) { other.start_ = other.stop_ = nullptr; }
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;
  ~Stopwatch() {
    if (start_ != nullptr) cudaEventDestroy(start_);
    if (stop_ != nullptr) cudaEventDestroy(stop_);
  }
  void Start() { Must(cudaEventRecord(start_, nullptr), "cudaEventRecord"); }
  void Stop() { Must(cudaEventRecord(stop_, nullptr), "cudaEventRecord"); }
  // Waits.
  double Milliseconds() {
    float milliseconds = 0;
    Must(cudaEventSynchronize(stop_), "cudaEventSynchronize");
    Must(cudaEventElapsedTime(&milliseconds, start_, stop_), "cudaEventElapsedTime");
    return milliseconds;
  }

 private:
  cudaEvent_t start_ = nullptr, stop_ = nullptr;
#endif
};

// Puts a copy within the device's memory on the default stream.
inline RocitCudaStatus CopyOnDevice(void* to, const void* from, size_t bytes) {
#if ROCIT_CUDA_EMULATION
  if (bytes > 0) std::memcpy(to, from, bytes);
  return 0;
#else
  return cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, nullptr);
#endif
}

// Writes more than any second-level cache holds. It runs long enough that what follows is launched by then.
class Flush {
 public:
  void Run() {
#if !ROCIT_CUDA_EMULATION
    Must(cudaMemsetAsync(memory_.data(), 0, memory_.size(), nullptr), "cudaMemsetAsync");
#endif
  }

 private:
  device::Memory memory_ = device::Memory(kIsEmulated ? 0 : size_t{256} << 20);
};

// Something timed. `scale` is how much more ours does than one call of a baseline.
struct CudaWork {
  std::string name;
  std::function<RocitCudaStatus()> run;
  double scale = 1;
};

inline double MillisecondsOf(Flush* flush, const CudaWork& work) {
  Stopwatch watch;
  flush->Run();
  watch.Start();
  Must(work.run(), work.name.c_str());
  watch.Stop();
  return watch.Milliseconds();
}

// Times `ours` and `baseline` in turn and prints a row: milliseconds, the rate, the baseline and its milliseconds for as
// much work, and their ratio (above one: ours is faster). `amount` is what one call does, in bytes or operations.
inline void CompareOnDevice(const Label& label, const std::string& unit, double amount, const CudaWork& ours,
                            const CudaWork& baseline) {
  static Flush& flush = *new Flush;  // not freed: the runtime may be gone by then
  const double budget = is_quick() ? 50 : 300;  // milliseconds
  for (int i = 0; i < (kIsEmulated ? 0 : 3); ++i) {
    MillisecondsOf(&flush, ours);
    MillisecondsOf(&flush, baseline);
  }
  const double once = kIsEmulated ? budget : MillisecondsOf(&flush, ours);
  const int repeats = kIsEmulated ? 1 : std::clamp(static_cast<int>(budget / std::max(once, 1e-3)), 7, 101);
  std::vector<double> own, other;
  for (int i = 0; i < repeats; ++i) {
    own.push_back(MillisecondsOf(&flush, ours));
    other.push_back(MillisecondsOf(&flush, baseline));
  }
  const double milliseconds = std::max(Median(own), 1e-6), against = Median(other) * baseline.scale;
  const double per_second = amount / milliseconds * 1e3 / (unit == "TFLOP/s" ? 1e12 : 1e9);
  std::printf("bench\t%s\t%s\t%s\t%.4f\t%.1f\t%s\t%s\t%.4f\t%.2f\n", label.op.c_str(), label.dtype.c_str(),
              label.shape.c_str(), milliseconds, per_second, unit.c_str(), baseline.name.c_str(), against,
              against / milliseconds);
  std::fflush(stdout);
}

// A row for an operation that memory bounds: `bytes` read and written in one call.
inline void AgainstDeviceCopy(const Label& label, double bytes, const std::function<RocitCudaStatus()>& run) {
  const size_t half = static_cast<size_t>(bytes / 2);
  device::Memory from(half), to(half);
  CompareOnDevice(label, "GB/s", bytes, {label.op, run}, {"copy", [&] { return CopyOnDevice(to.data(), from.data(), half); }});
}

// Waits for the calls before, and ends the program when one of them failed or a value was wrong.
inline void StopIfWrongOnDevice(const std::string& name) {
  device::IsDone(0, name);
  StopIfWrong();
}

// Of the program; memory that is freed tells of writes around it, which is later than StopIfWrong.
inline int ExitCode() { return check::counts().failed > 0 ? 1 : 0; }

}  // namespace bench

#endif  // ROCIT_BENCH_CUDA_BENCH_H_
