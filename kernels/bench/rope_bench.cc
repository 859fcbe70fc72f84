// rope against a copy of as many bytes; backward is the same work.
#include "rope.h"

#include "bench.h"
#include "reference/rope.h"

namespace {

using check::Values;

struct Case {
  int64_t rows, heads, head_dim, rotary_dim;
  bool interleaved;
};

void Bench(const Case& c, RocitDtype dtype, bench::Pool* pool) {
  check::Random random(1);
  Values x = check::RandomValues(dtype, c.rows * c.heads * c.head_dim, &random), y(dtype, x.size());
  std::vector<int32_t> positions;
  std::vector<float> inv_freq;
  for (int64_t n = 0; n < c.rows; ++n) positions.push_back(static_cast<int32_t>(n));
  for (int64_t i = 0; i < c.rotary_dim / 2; ++i) {
    inv_freq.push_back(std::pow(10000.0f, -2.0f * static_cast<float>(i) / static_cast<float>(c.rotary_dim)));
  }
  const int64_t width = c.heads * c.head_dim;
  const RocitRopeArgs args = {dtype,         c.rows, c.heads,  c.head_dim,       c.rotary_dim,    width,   width,
                              c.interleaved, 1,      x.data(), positions.data(), inv_freq.data(), y.data()};
  const RocitParallel parallel = pool->contract();
  rocit_rope(&args, &parallel);
  const reference::RopeSizes sizes = {static_cast<size_t>(c.heads), static_cast<size_t>(c.head_dim), c.interleaved, 1};
  check::IsNear(y, reference::Rope(x.Doubles(), positions, inv_freq, sizes), "rope");
  bench::StopIfWrong();
  const std::string shape = std::to_string(c.rows) + "x" + std::to_string(c.heads) + "x" + std::to_string(c.head_dim);
  bench::AgainstCopy({c.interleaved ? "rope interleaved" : "rope", bench::DtypeName(dtype), shape},
                     2.0 * static_cast<double>(x.bytes.size()), pool, [&] { rocit_rope(&args, &parallel); });
}

}  // namespace

int main() {
  bench::Pool pool;
  const Case cases[] = {{2048, 9, 64, 64, false}, {2048, 3, 64, 64, false}, {4096, 32, 128, 128, false},
                        {4096, 32, 128, 64, true}};
  for (const RocitDtype dtype : {ROCIT_FLOAT32, ROCIT_BFLOAT16}) {
    for (const Case& c : cases) Bench(c, dtype, &pool);
  }
}
