// The emulator finds the mistakes that it is there to find. A GPU has nothing to say here.
#include "check.h"

#if ROCIT_CUDA_EMULATION

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "device.h"
#include "device_memory.h"
#include "mma.h"

namespace {

using namespace rocit;

enum class Mistake { kNone, kMissedBarrier, kOtherBarrier, kMissedLane, kOtherLane, kOtherMask, kNoWait, kEarlyRead, kUnaligned, kNoBarrier };

__global__ void MistakenKernel(Mistake mistake, const float* in, float* out) {
  const int i = static_cast<int>(threadIdx.x), count = static_cast<int>(blockDim.x);
  float* shared = DynamicShared<float>();
  if (mistake == Mistake::kMissedBarrier && i == 40) return;
  if (mistake == Mistake::kOtherBarrier && i >= 32) {
    __syncthreads();
  } else {
    __syncthreads();
  }
  if (mistake == Mistake::kOtherLane && i == 35) {
    __syncwarp();
  } else {
    __syncwarp();
  }
  if (mistake != Mistake::kMissedLane || i != 3) WarpSum(1.0f);
  if (mistake == Mistake::kOtherMask) __any_sync(i % 32 == 5 ? kAllLanes : ~1u, i != 0);
  if (mistake == Mistake::kUnaligned) Vec<float, 4>::Load(in + 1).Store(out);
  CopyAsync16(shared + 4 * i, in + 4 * i, true);
  CopyAsyncCommit();
  if (mistake == Mistake::kEarlyRead) out[i] = shared[4 * i];
  if (mistake != Mistake::kNoWait) CopyAsyncWait<0>();
  if (mistake != Mistake::kNoBarrier) __syncthreads();
  if (mistake != Mistake::kEarlyRead) out[i] = shared[4 * (count - 1 - i)];
}

// Runs the kernel, here where its result is wanted, else in a process of its own: whether that says `words` on stderr.
bool Says(Mistake mistake, const std::string& words, std::vector<float>* out) {
  const int threads = 64;
  device::Array<float> in(std::vector<float>(4 * threads, 2.0f)), to(threads);
  const auto launch = [&] {
    return Launch(&MistakenKernel, dim3(1), dim3(threads), 16 * threads, nullptr, mistake, in.data(), to.data());
  };
  if (out != nullptr) {
    launch();
    *out = to.Read();
    return false;
  }
  int ends[2];
  if (pipe(ends) != 0) return false;
  std::fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], 2);
    signal(SIGABRT, SIG_DFL);
    launch();
    _exit(0);
  }
  close(ends[1]);
  std::string text;
  char part[512];
  for (ssize_t got = 0; (got = read(ends[0], part, sizeof(part))) > 0;) text.append(part, static_cast<size_t>(got));
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  if (text.find(words) == std::string::npos) std::printf("exit status %d: %s\n", status, text.c_str());
  return text.find(words) != std::string::npos;
}

void TestMistakes() {
  const struct {
    Mistake mistake;
    const char* words;
  } endings[] = {{Mistake::kMissedBarrier, "nobody can go on"},   {Mistake::kOtherBarrier, "threads meet from different places"},
                 {Mistake::kMissedLane, "nobody can go on"}, {Mistake::kOtherLane, "lanes meet from different places"}, {Mistake::kOtherMask, "the mask"},
                 {Mistake::kNoWait, "copies that nobody waited for"}, {Mistake::kUnaligned, "a vector that is not on a multiple"}};
  for (const auto& one : endings) {
    check::That(Says(one.mistake, one.words, nullptr), std::string("the emulator ends with: ") + one.words);
  }
  const auto count = [](Mistake mistake) {
    std::vector<float> out;
    Says(mistake, "", &out);
    int right = 0;
    for (const float value : out) right += value == 2.0f;
    return right;
  };
  check::That(count(Mistake::kNone) == 64, "the kernel is right without a mistake");
  check::That(count(Mistake::kEarlyRead) == 0, "copies are not to be seen before their wait");
#if ROCIT_FIND_RACES
  check::That(Says(Mistake::kNoBarrier, "data race", nullptr), "the thread sanitizer sees a missing barrier");
#else
  device::InEachOrder([&](const std::string& order) {
    check::That(count(Mistake::kNoBarrier) < 64, "a missing barrier leaves NaN, " + order);
  });
#endif
}

}  // namespace

int main() {
  TestMistakes();
  return check::Finish("emulator_cuda");
}

#else

int main() {
  check::Skip("the emulator finds mistakes", "this is a GPU");
  check::Finish("emulator_cuda");
  return 0;
}

#endif
