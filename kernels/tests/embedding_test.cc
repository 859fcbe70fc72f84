// embedding: rows are copied byte for byte, with 1 to 4 threads; ids outside of the table are named and nothing is written.
#include "embedding.h"

#include "check.h"

namespace {

using check::Values;

struct Run {
  int64_t bad;
  Values y;
};

Run Gather(RocitDtype dtype, int64_t vocab, int64_t hidden, Values weight, std::vector<int32_t> ids, int threads) {
  Run run = {0, Values(dtype, static_cast<int64_t>(ids.size()) * hidden)};
  check::Threads pool(threads);
  const RocitParallel parallel = pool.contract();
  const RocitEmbeddingArgs args = {dtype, vocab, hidden, static_cast<int64_t>(ids.size()), weight.data(), ids.data(),
                                   run.y.data()};
  run.bad = rocit_embedding(&args, &parallel);
  return run;
}

void TestRows(RocitDtype dtype, int64_t vocab, int64_t hidden, const std::vector<int32_t>& ids) {
  check::Random random(vocab + hidden);
  const Values weight = check::RandomValues(dtype, vocab * hidden, &random);
  const std::string name = std::string("embedding ") + (dtype == ROCIT_FLOAT32 ? "float32 " : "bfloat16 ") +
                           std::to_string(ids.size()) + " of " + std::to_string(vocab) + "x" + std::to_string(hidden);
  for (int threads = 1; threads <= 4; ++threads) {
    const Run run = Gather(dtype, vocab, hidden, weight, ids, threads);
    bool is_same = run.bad == -1;
    for (size_t n = 0; n < ids.size(); ++n) {
      for (int64_t c = 0; c < hidden; ++c) {
        is_same = is_same && run.y.Get(static_cast<int64_t>(n) * hidden + c) == weight.Get(ids[n] * hidden + c);
      }
    }
    check::That(is_same, name + " copies rows with " + std::to_string(threads) + " threads");
  }
}

void TestOutside(RocitDtype dtype) {
  const std::vector<std::vector<int32_t>> lists = {{5}, {0, 1, -1, 7}, {0, 2147483647}, {-2147483647 - 1}};
  const int64_t expected[] = {0, 2, 1, 0};
  for (size_t i = 0; i < lists.size(); ++i) {
    const Run run = Gather(dtype, 5, 3, Values(dtype, 15), lists[i], 2);
    check::That(run.bad == expected[i], "embedding names the first id outside", std::to_string(run.bad));
    check::That(run.y.bytes == Values(dtype, run.y.size()).bytes, "embedding writes nothing then");
  }
}

}  // namespace

int main() {
  for (const RocitDtype dtype : {ROCIT_FLOAT32, ROCIT_BFLOAT16}) {
    TestRows(dtype, 11, 123, {4, 0, 4, 10, 3});
    TestRows(dtype, 1, 1, {0});
    TestRows(dtype, 5, 8, {});
    TestRows(dtype, 3, 576, {2, 2, 2, 0});
    TestRows(dtype, 4, 0, {1, 2});
    TestOutside(dtype);
  }
  return check::Finish("embedding");
}
