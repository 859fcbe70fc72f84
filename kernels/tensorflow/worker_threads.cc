// Pieces in order, one at a time: the pool's own ParallelFor hands out runs of neighbours, an eighth of all at once, so
// that the thread with the heavier run keeps the others waiting.
#include "worker_threads.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace rocit {
namespace {

constexpr int64_t kNanoseconds = 20000;  // that a piece should at least take
constexpr int64_t kPiecesPerThread = 4;  // at most that few, where items are short
constexpr int kSpins = 2000;             // a few microseconds, less than it takes to wake up

struct Job {
  void (*body)(void*, int64_t, int64_t);
  void* arg;
  int64_t count, piece;
  std::atomic<int64_t> next{0};
  std::atomic<int64_t> left;
  std::mutex mutex;
  std::condition_variable ended;
};

void Work(Job* job) {
  int64_t done = 0;
  for (;;) {
    const int64_t begin = job->next.fetch_add(job->piece);
    if (begin >= job->count) break;
    const int64_t end = std::min(job->count, begin + job->piece);
    job->body(job->arg, begin, end);
    done += end - begin;
  }
  if (done == 0 || job->left.fetch_sub(done) != done) return;
  const std::lock_guard<std::mutex> lock(job->mutex);
  job->ended.notify_one();
}

void Wait(Job* job) {
  for (int i = 0; i < kSpins; ++i) {
    if (job->left.load() == 0) return;
#if defined(__x86_64__)
    _mm_pause();
#endif
  }
  std::unique_lock<std::mutex> lock(job->mutex);
  job->ended.wait(lock, [job] { return job->left.load() == 0; });
}

}  // namespace

void RunOnWorkers(tensorflow::thread::ThreadPool* pool, int64_t count, int64_t cost,
                  void (*body)(void*, int64_t, int64_t), void* arg) {
  const int64_t threads = pool->NumThreads(), few = kPiecesPerThread * threads;
  const int64_t piece = std::min((count + few - 1) / few, std::max<int64_t>(1, kNanoseconds / cost));
  const int64_t helpers = std::min(threads, (count + piece - 1) / piece) - 1;
  if (helpers <= 0 || count * cost < kNanoseconds) return body(arg, 0, count);
  // A helper that comes late finds nothing left and never touches `body`, whose caller may be gone by then.
  const auto job = std::make_shared<Job>();
  job->body = body;
  job->arg = arg;
  job->count = count;
  job->piece = piece;
  job->left = count;
  for (int64_t i = 0; i < helpers; ++i) pool->Schedule([job] { Work(job.get()); });
  Work(job.get());
  Wait(job.get());
}

}  // namespace rocit
