// The harness of the stand-alone benches: threads that stay, medians of interleaved runs, rows that
// scripts/bench_kernels.mjs collects. A bench compares its values with the float64 twin first; a wrong one ends it.
#ifndef ROCIT_BENCH_BENCH_H_
#define ROCIT_BENCH_BENCH_H_

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "check.h"

namespace bench {

// ROCIT_THREADS threads, else one a core. Ranges are cut into two pieces a thread, long items one by one.
class Pool {
 public:
  Pool() : count_(FromEnvironment()) {
    for (int i = 1; i < count_; ++i) workers_.emplace_back([this] { Serve(); });
  }
  ~Pool() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      is_over_ = true;
    }
    woken_.notify_all();
    for (auto& worker : workers_) worker.join();
  }
  int count() const { return count_; }
  RocitParallel contract() { return {this, &Pool::Run}; }

 private:
  struct Job {
    void (*body)(void*, int64_t, int64_t);
    void* arg;
    int64_t count, piece;
    std::atomic<int64_t> next{0};
    std::atomic<int> busy{0};
  };

  static constexpr int64_t kNanoseconds = 50000;  // that a piece should at least take

  static int FromEnvironment() {
    const char* wanted = std::getenv("ROCIT_THREADS");
    const int count = wanted != nullptr ? std::atoi(wanted) : static_cast<int>(std::thread::hardware_concurrency());
    return count < 1 ? 1 : count;
  }

  static void Work(Job* job) {
    for (;;) {
      const int64_t begin = job->next.fetch_add(job->piece);
      if (begin >= job->count) return;
      job->body(job->arg, begin, std::min(job->count, begin + job->piece));
    }
  }

  static void Run(void* context, int64_t count, int64_t cost, void (*body)(void*, int64_t, int64_t), void* arg) {
    Pool* self = static_cast<Pool*>(context);
    const int64_t pieces = 2 * self->count_;
    Job job;
    job.body = body;
    job.arg = arg;
    job.count = count;
    job.piece = std::min((count + pieces - 1) / pieces, std::max<int64_t>(1, kNanoseconds / std::max<int64_t>(cost, 1)));
    job.busy = self->count_ - 1;
    if (job.piece < 1) return;
    {
      const std::lock_guard<std::mutex> lock(self->mutex_);
      self->job_ = &job;
      self->turn_ += 1;
    }
    self->woken_.notify_all();
    Work(&job);
    while (job.busy.load() > 0) std::this_thread::yield();
  }

  void Serve() {
    for (int64_t seen = 0;;) {
      Job* job = nullptr;
      {
        std::unique_lock<std::mutex> lock(mutex_);
        woken_.wait(lock, [&] { return is_over_ || turn_ != seen; });
        if (is_over_) return;
        seen = turn_;
        job = job_;
      }
      Work(job);
      job->busy.fetch_sub(1);
    }
  }

  int count_;
  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable woken_;
  Job* job_ = nullptr;
  int64_t turn_ = 0;
  bool is_over_ = false;
};

// Something timed: how much it does in one call, in the unit of the row (bytes or floating-point operations).
struct Work {
  std::string name;
  double amount;
  std::function<void()> run;
};

struct Label {
  std::string op, dtype, shape;
};

inline const char* DtypeName(RocitDtype dtype) {
  return dtype == ROCIT_FLOAT32 ? "float32" : dtype == ROCIT_BFLOAT16 ? "bfloat16" : "float16";
}

inline double SecondsOf(const std::function<void()>& run) {
  const auto start = std::chrono::steady_clock::now();
  run();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

inline double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Times `ours` and `baseline` in turn for about a second together and prints a row: milliseconds, the rates in
// 1e9 a second, and their ratio.
inline void Compare(const Label& label, const std::string& unit, const Work& ours, const Work& baseline) {
  for (int i = 0; i < 2; ++i) {
    ours.run();
    baseline.run();
  }
  const double once = SecondsOf(ours.run) + SecondsOf(baseline.run);
  const int repeats = std::clamp(static_cast<int>(1 / std::max(once, 1e-6)), 7, 501);
  std::vector<double> own, other;
  for (int i = 0; i < repeats; ++i) {
    own.push_back(SecondsOf(ours.run));
    other.push_back(SecondsOf(baseline.run));
  }
  const double seconds = Median(own), rate = ours.amount / seconds / 1e9, against = baseline.amount / Median(other) / 1e9;
  std::printf("bench\t%s\t%s\t%s\t%.3f\t%.1f\t%s\t%s\t%.1f\t%.2f\n", label.op.c_str(), label.dtype.c_str(),
              label.shape.c_str(), seconds * 1e3, rate, unit.c_str(), baseline.name.c_str(), against, rate / against);
  std::fflush(stdout);
}

// STREAM's copy (McCalpin) with plain stores, over so many bytes read and written.
class Copy {
 public:
  explicit Copy(double bytes) : from_(Count(bytes)), to_(Count(bytes)) {}
  double bytes() const { return 2.0 * sizeof(Block) * static_cast<double>(from_.size()); }
  void Run(const RocitParallel& parallel) {
    const auto body = [](void* arg, int64_t begin, int64_t end) {
      Copy* self = static_cast<Copy*>(arg);
      const Block* from = self->from_.data();
      Block* to = self->to_.data();
      for (int64_t i = begin; i < end; ++i) {
        to[i] = from[i];
        asm volatile("" ::"r"(to + i));  // else the compiler calls memcpy, which goes past the caches from some size on
      }
    };
    parallel.run(parallel.context, static_cast<int64_t>(from_.size()), 1, body, this);
  }

 private:
  struct Block {
    char bytes[64] = {1};
  };
  static size_t Count(double bytes) { return static_cast<size_t>(bytes / (2 * sizeof(Block))) + 1; }
  std::vector<Block> from_, to_;
};

// Ends the program with the names of what was wrong; to be called between the checks and the timing.
inline void StopIfWrong() {
  if (check::counts().failed > 0) std::exit(1);
}

// STREAM wants arrays that no cache holds.
inline constexpr double kStreamBytes = 512e6;

// Two rows for an operation that memory bounds, with `bytes` read and written in one call of `run`: against a copy of as
// many bytes, both as warm as their size allows; and against the machine's memory, which the big copy makes both cold for.
inline void AgainstCopy(const Label& label, double bytes, Pool* pool, const std::function<void()>& run) {
  const RocitParallel parallel = pool->contract();
  Copy same(bytes);
  static Copy big(kStreamBytes);
  const Work ours = {label.op, bytes, run};
  Compare(label, "GB/s", ours, {"copy", same.bytes(), [&] { same.Run(parallel); }});
  Compare(label, "GB/s", ours, {"STREAM", big.bytes(), [&] { big.Run(parallel); }});
}

}  // namespace bench

#endif  // ROCIT_BENCH_BENCH_H_
