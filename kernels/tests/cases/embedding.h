// Cases of embedding, their tensors and what is to come out, for every implementation; ids outside of the table.
#ifndef ROCIT_TESTS_CASES_EMBEDDING_H_
#define ROCIT_TESTS_CASES_EMBEDDING_H_

#include <embedding.h>  // the contract: this file bears its name

#include "cases/memory.h"
#include "cases/timed.h"
#include "check.h"

namespace embedding {

using check::Values;

struct Case {
  RocitDtype dtype;
  int64_t vocab, hidden;
  std::vector<int32_t> ids;

  int64_t count() const { return static_cast<int64_t>(ids.size()); }
  std::string Name() const {
    return std::string("embedding ") + (dtype == ROCIT_FLOAT32 ? "float32 " : "bfloat16 ") + std::to_string(count()) +
           " of " + std::to_string(vocab) + "x" + std::to_string(hidden);
  }
};

inline std::vector<Case> Cases() {
  std::vector<Case> cases;
  for (const RocitDtype dtype : {ROCIT_FLOAT32, ROCIT_BFLOAT16}) {
    cases.push_back({dtype, 11, 123, {4, 0, 4, 10, 3}});
    cases.push_back({dtype, 1, 1, {0}});
    cases.push_back({dtype, 5, 8, {}});
    cases.push_back({dtype, 3, 576, {2, 2, 2, 0, 1, 1, 0, 2, 1}});
    cases.push_back({dtype, 3, 4096, {2, 0}});
    cases.push_back({dtype, 4, 0, {1, 2}});
  }
  return cases;
}

// Some ids outside of a table of five rows.
inline std::vector<Case> Outside() {
  constexpr int32_t kMost = 2147483647, kLeast = -2147483647 - 1;
  std::vector<Case> cases;
  for (const RocitDtype dtype : {ROCIT_FLOAT32, ROCIT_BFLOAT16}) {
    for (const int64_t hidden : {3, 64}) {
      for (const auto& ids : std::vector<std::vector<int32_t>>{
               {5}, {0, 1, -1, 7}, {0, kMost}, {kLeast}, {4, 5, -1, kMost, kLeast, 0}}) {
        cases.push_back({dtype, 5, hidden, ids});
      }
    }
  }
  return cases;
}

inline Case Random(RocitDtype dtype, int64_t count, int64_t vocab, int64_t hidden) {
  check::Random random(2);
  Case c = {dtype, vocab, hidden, {}};
  for (int64_t n = 0; n < count; ++n) c.ids.push_back(static_cast<int32_t>(random.Bits() % vocab));
  return c;
}

inline cases::Timed<Case> TimedCases(RocitDtype dtype) {
  const Case smollm = Random(dtype, 2048, 49152, 576);
  return {{smollm, Random(dtype, 16384, 32000, 2048)},
          {Random(dtype, 4096, 32000, 4096), smollm},
          {Random(dtype, 9, 50, 33)}};
}

struct Inputs {
  Values weight;

  explicit Inputs(const Case& c) : Inputs(c, check::Random(c.vocab + c.hidden)) {}

 private:
  Inputs(const Case& c, check::Random random) : weight(check::RandomValues(c.dtype, c.vocab * c.hidden, &random)) {}
};

template <class Memory>
struct Tensors {
  Case c;
  typename Memory::Tensor weight, y;
  typename Memory::template Array<int32_t> ids;

  // `shift`: as device::Tensor takes it.
  template <class... Shift>
  Tensors(const Case& of, const Inputs& in, Shift... shift)
      : c(of), weight(in.weight, shift...), y(c.dtype, c.count() * c.hidden, shift...), ids(c.ids) {}
  RocitEmbeddingArgs Args() {
    return {c.dtype, c.vocab, c.hidden, c.count(), weight.data(), ids.data(), y.data()};
  }
};

// Whether rows are those of the table byte for byte, and NaN where an id is outside.
inline bool IsGathered(const Case& c, const Inputs& in, const Values& y) {
  const int64_t bytes = c.hidden * (c.dtype == ROCIT_FLOAT32 ? 4 : 2);
  bool holds = y.size() == c.count() * c.hidden;
  for (int64_t n = 0; bytes > 0 && holds && n < c.count(); ++n) {
    const int64_t id = c.ids[n];
    const bool is_inside = id >= 0 && id < c.vocab;
    if (is_inside) holds = std::memcmp(&y.bytes[n * bytes], &in.weight.bytes[id * bytes], bytes) == 0;
    for (int64_t i = 0; !is_inside && i < c.hidden; ++i) holds = holds && std::isnan(y.Get(n * c.hidden + i));
  }
  return holds;
}

}  // namespace embedding

#endif  // ROCIT_TESTS_CASES_EMBEDDING_H_
