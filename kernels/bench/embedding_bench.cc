// embedding of random ids against a copy of as many bytes.
#include "embedding.h"

#include "bench.h"

namespace {

using check::Values;

struct Case {
  int64_t ids, vocab_size, hidden_size;
};

void Bench(const Case& c, RocitDtype dtype, bench::Pool* pool) {
  check::Random random(1);
  Values weight = check::RandomValues(dtype, c.vocab_size * c.hidden_size, &random), y(dtype, c.ids * c.hidden_size);
  std::vector<int32_t> ids;
  for (int64_t n = 0; n < c.ids; ++n) ids.push_back(static_cast<int32_t>(random.Bits() % c.vocab_size));
  const RocitEmbeddingArgs args = {dtype, c.vocab_size, c.hidden_size, c.ids, weight.data(), ids.data(), y.data()};
  const RocitParallel parallel = pool->contract();
  bool is_same = rocit_embedding(&args, &parallel) == -1;
  for (int64_t n = 0; n < c.ids; ++n) {
    for (int64_t i = 0; i < c.hidden_size; ++i) {
      is_same = is_same && y.Get(n * c.hidden_size + i) == weight.Get(ids[n] * c.hidden_size + i);
    }
  }
  check::That(is_same, "embedding copies rows");
  bench::StopIfWrong();
  const std::string shape = std::to_string(c.ids) + " of " + std::to_string(c.vocab_size) + "x" + std::to_string(c.hidden_size);
  bench::AgainstCopy({"embedding", bench::DtypeName(dtype), shape}, 2.0 * static_cast<double>(y.bytes.size()), pool,
                     [&] { rocit_embedding(&args, &parallel); });
}

}  // namespace

int main() {
  bench::Pool pool;
  for (const RocitDtype dtype : {ROCIT_FLOAT32, ROCIT_BFLOAT16}) {
    for (const Case& c : {Case{2048, 49152, 576}, {16384, 32000, 2048}}) Bench(c, dtype, &pool);
  }
}
