// Forward of tree_attention on the CPU: threads take tiles of rows, those with most keys first.
// Bound by multiplications where there are many rows, by reading keys and values where there are few.
#include "tree_attention.h"

#include <cstring>
#include <type_traits>
#include <vector>

#include "attention_rows.h"

namespace rocit {
namespace {

// A tile's rows, and the keys it meets at a time. Strides are an odd number of cache lines: powers of two would crowd
// columns into few sets of the cache.
constexpr int64_t kTileRows = 128, kTileKeys = 64, kRowStride = kTileRows + 16, kKeyStride = kTileKeys + 16;
constexpr int64_t kFewRows = 12;

int64_t TileWords(int64_t head_dim) {
  return 3 * kTileRows + 2 * kRowStride * kTileKeys + kFewRows * kKeyStride +
         (2 * kRowStride + 2 * kTileKeys + kFewRows + kKeyStride) * RoundUp(head_dim, 16);
}

}  // namespace
}  // namespace rocit

#define ROCIT_BF16_PATH
#define ROCIT_AMX_PATH
#define ROCIT_LOOPS "tree_attention_loops.h"
#include "each_path.h"

int64_t rocit_tree_attention_bad_bound(const int32_t* subtree_end, int64_t num_keys) {
  std::vector<int64_t> open;
  for (int64_t i = 0; i < num_keys; ++i) {
    while (!open.empty() && open.back() <= i) open.pop_back();
    const int64_t limit = open.empty() ? num_keys : open.back();
    if (subtree_end[i] <= i || subtree_end[i] > limit) return i;
    open.push_back(subtree_end[i]);
  }
  return -1;
}

void rocit_tree_attention(const RocitTreeAttentionArgs* args, const RocitParallel* parallel) {
  const RocitTreeAttentionInputs& in = args->in;
  if (in.num_queries == 0 || in.num_heads == 0) return;
  const int64_t tiles = rocit::RoundUp(rocit::AttentionRows(in, 0).count, rocit::kTileRows) / rocit::kTileRows;
  const int64_t cost = in.num_keys * (in.head_dim + 8);
  const int64_t words = rocit::TileWords(in.head_dim);
  rocit::EachItem(parallel, tiles * in.num_key_value_heads, cost, words, [&](int64_t item, rocit::TileMemory* memory) {
    const int64_t tile = tiles - 1 - item / in.num_key_value_heads;
    ROCIT_DISPATCH(AttendAnyTile, *args, item % in.num_key_value_heads, tile, memory);
  });
}
