// The harness of the stand-alone tests: named checks and their count, seeded numbers, threads of our own, tensors of
// both dtypes, errors as max |a - b| / max |b|.
#ifndef ROCIT_TESTS_CHECK_H_
#define ROCIT_TESTS_CHECK_H_

#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "contract.h"
#include "machine.h"

namespace check {

struct Counts {
  int passed = 0, failed = 0, skipped = 0;
};

inline Counts& counts() {
  static Counts all;
  return all;
}

inline void That(bool holds, const std::string& promise, const std::string& got = "") {
  (holds ? counts().passed : counts().failed) += 1;
  if (!holds) std::printf("FAILED %s%s%s\n", promise.c_str(), got.empty() ? "" : ": got ", got.c_str());
}

inline void Skip(const std::string& promise, const std::string& reason) {
  counts().skipped += 1;
  std::printf("skipped %s: %s\n", promise.c_str(), reason.c_str());
}

// The closing line that scripts/test_native.mjs reads, and the exit code.
inline int Finish(const char* name) {
  const Counts& all = counts();
  std::printf("%s: %d passed, %d failed, %d skipped\n", name, all.passed, all.failed, all.skipped);
  return all.failed == 0 && all.passed > 0 ? 0 : 1;
}

// splitmix64: the same numbers on every machine.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t Bits() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  // Between -1 and 1.
  float Next() { return static_cast<float>(static_cast<double>(Bits() >> 11) * 0x1p-52 - 1.0); }

 private:
  uint64_t state_;
};

// Threads that take pieces of `grain` items in whatever order they come to them.
class Threads {
 public:
  explicit Threads(int count, int64_t grain = 1) : count_(count), grain_(grain) {}
  RocitParallel contract() { return {this, &Threads::Run}; }

 private:
  static void Run(void* context, int64_t count, int64_t, void (*body)(void*, int64_t, int64_t), void* arg) {
    const Threads* self = static_cast<Threads*>(context);
    std::atomic<int64_t> next{0};
    const auto work = [&] {
      for (;;) {
        const int64_t begin = next.fetch_add(self->grain_);
        if (begin >= count) return;
        body(arg, begin, std::min(count, begin + self->grain_));
      }
    };
    std::vector<std::thread> others;
    for (int i = 1; i < self->count_; ++i) others.emplace_back(work);
    work();
    for (auto& thread : others) thread.join();
  }
  int count_;
  int64_t grain_;
};

// Round to nearest even by the definition: of the two neighbours the nearer, of equals the even one.
inline uint16_t ToBfloat16(double value) {
  const float single = static_cast<float>(value);
  uint32_t bits = 0;
  std::memcpy(&bits, &single, 4);
  if (std::isnan(single)) return static_cast<uint16_t>((bits >> 16) | 0x40);
  const uint32_t low = bits & 0xffff, upper = bits >> 16;
  return static_cast<uint16_t>(low > 0x8000 || (low == 0x8000 && (upper & 1)) ? upper + 1 : upper);
}

inline double FromBfloat16(uint16_t half) {
  const uint32_t bits = static_cast<uint32_t>(half) << 16;
  float single = 0;
  std::memcpy(&single, &bits, 4);
  return single;
}

// Values of one dtype as bytes in memory, exactly sized so that the sanitizers see every step outside.
struct Values {
  RocitDtype dtype = ROCIT_FLOAT32;
  std::vector<uint8_t> bytes;

  Values(RocitDtype type, int64_t count) : dtype(type), bytes(count * (type == ROCIT_FLOAT32 ? 4 : 2), 0xff) {}
  Values(RocitDtype type, const std::vector<double>& values) : Values(type, static_cast<int64_t>(values.size())) {
    for (size_t i = 0; i < values.size(); ++i) Set(i, values[i]);
  }
  int64_t size() const { return static_cast<int64_t>(bytes.size()) / (dtype == ROCIT_FLOAT32 ? 4 : 2); }
  void* data() { return bytes.data(); }
  void Set(int64_t i, double value) {
    const float single = static_cast<float>(value);
    const uint16_t half = ToBfloat16(value);
    if (dtype == ROCIT_FLOAT32) std::memcpy(&bytes[4 * i], &single, 4);
    else std::memcpy(&bytes[2 * i], &half, 2);
  }
  double Get(int64_t i) const {
    float single = 0;
    uint16_t half = 0;
    if (dtype == ROCIT_FLOAT32) std::memcpy(&single, &bytes[4 * i], 4);
    else std::memcpy(&half, &bytes[2 * i], 2);
    return dtype == ROCIT_FLOAT32 ? single : FromBfloat16(half);
  }
  std::vector<double> Doubles() const {
    std::vector<double> all(size());
    for (int64_t i = 0; i < size(); ++i) all[i] = Get(i);
    return all;
  }
};

inline Values RandomValues(RocitDtype dtype, int64_t count, Random* random, double scale = 1) {
  Values values(dtype, count);
  for (int64_t i = 0; i < count; ++i) values.Set(i, scale * random->Next());
  return values;
}

// `least` is the size of the addends where the result is what is left of their cancelling.
inline double Error(const std::vector<double>& got, const std::vector<double>& expected, double least = 0) {
  double difference = 0, size = least;
  for (size_t i = 0; i < expected.size(); ++i) {
    if (!std::isfinite(got[i])) return HUGE_VAL;
    difference = std::fmax(difference, std::fabs(got[i] - expected[i]));
    size = std::fmax(size, std::fabs(expected[i]));
  }
  return size > 0 ? difference / size : difference;
}

// float32: 2e-6. bfloat16: twice the error that rounding the exact result alone makes.
inline void IsNear(const Values& got, const std::vector<double>& expected, const std::string& promise, double least = 0) {
  const double rounding = Error(Values(got.dtype, expected).Doubles(), expected, least);
  const double bound = got.dtype == ROCIT_FLOAT32 ? 2e-6 : std::fmax(2e-6, 2 * rounding);
  const double error = Error(got.Doubles(), expected, least);
  That(error <= bound, promise, "error " + std::to_string(error * 1e6) + "e-6, bound " + std::to_string(bound * 1e6) + "e-6");
}

// Calls body() on each vector path of this machine; the others are skipped with a word.
template <class Body>
void OnEachPath(const std::string& promise, const Body& body) {
  const RocitPath best = rocit_path();
  for (const RocitPath path : {ROCIT_PORTABLE, ROCIT_AVX2, ROCIT_AVX512, ROCIT_AVX512_BF16, ROCIT_AMX_BF16}) {
    const std::string name = promise + " [" + rocit_path_name(path) + "]";
    if (rocit_force_path(path)) body(name);
    else Skip(name, "this machine lacks it");
  }
  rocit_force_path(best);
}

}  // namespace check

#endif  // ROCIT_TESTS_CHECK_H_
