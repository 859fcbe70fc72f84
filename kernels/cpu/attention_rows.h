// What the forward and the backward of tree_attention share: tiles, rows, and memory for a tile's work.
// Rows: the heads of a query that read one key head are rows of one matrix, query by query: row r of key head c is query
// r / group, head c * group + r % group.
#ifndef ROCIT_CPU_ATTENTION_ROWS_H_
#define ROCIT_CPU_ATTENTION_ROWS_H_

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>

#include "elements.h"
#include "parallel.h"
#include "scratch.h"
#include "tree_attention.h"

namespace rocit {

inline constexpr float kLog2E = 1.44269504f, kLn2 = 0.693147181f;

inline int64_t RoundUp(int64_t value, int64_t step) { return (value + step - 1) / step * step; }

// The rows of one key head.
struct AttentionRows {
  int64_t group, num_heads, num_key_heads, head_dim, key_head, count;

  AttentionRows(const RocitTreeAttentionInputs& in, int64_t key_head)
      : group(in.num_heads / in.num_key_value_heads), num_heads(in.num_heads), num_key_heads(in.num_key_value_heads),
        head_dim(in.head_dim), key_head(key_head), count(in.num_queries * group) {}
  int64_t Query(int64_t row) const { return row / group; }
  // Index of the row in an array [N, H].
  int64_t Index(int64_t row) const { return row / group * num_heads + key_head * group + row % group; }
  // Offset of a key in an array [S, K, D].
  int64_t KeyOffset(int64_t key) const { return (key * num_key_heads + key_head) * head_dim; }
};

// A thread's memory for a tile, cut into pieces that begin on cache lines.
class TileMemory {
 public:
  explicit TileMemory(int64_t words) : memory_(ThreadScratch<float>(Scratch::kTile, words)) {}
  void Reset() { used_ = 0; }
  float* Take(int64_t words) {
    float* piece = memory_ + used_;
    used_ += RoundUp(words, 16);
    return piece;
  }

 private:
  float* memory_;
  int64_t used_ = 0;
};

// Calls body(item, memory) for all items, in order, each by the first thread that is free.
template <class Body>
void EachItem(const RocitParallel* parallel, int64_t count, int64_t cost, int64_t words, const Body& body) {
  std::atomic<int64_t> next{0};
  ParallelFor(parallel, count, cost, [&](int64_t, int64_t) {
    int64_t item = next.fetch_add(1);
    if (item >= count) return;
    TileMemory memory(words);
    for (; item < count; item = next.fetch_add(1)) {
      memory.Reset();
      body(item, &memory);
    }
  });
}

}  // namespace rocit

#endif  // ROCIT_CPU_ATTENTION_ROWS_H_
