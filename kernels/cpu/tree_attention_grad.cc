// Backward of tree_attention on the CPU. Threads take chunks of keys of one key head, each with about the same work; a
// chunk has sums of dq of its own, added up in order at the end, so that every score is computed once and the number of
// threads changes no bit. Bound by multiplications: five products a tile.
#include <cstring>
#include <type_traits>
#include <vector>

#include "attention_rows.h"

namespace rocit {

// Keys whose dk and dv are summed together, and the rows they meet at a time.
// The stride is an odd number of cache lines: powers of two would crowd columns into few sets of the cache.
inline constexpr int64_t kTileKeys = 256, kTileRows = 64, kKeyStride = kTileKeys + 16;

struct Range {
  int64_t begin, end;
};

// Tiles [begin, end) of keys, seen by the tiles `rows` of rows.
struct KeyChunk {
  int64_t begin, end;
  Range rows;
  int64_t part;  // words of the parts before it, for one key head
};

struct GradPlan {
  std::vector<Range> seen_by;  // tiles of rows that see some key of each tile
  std::vector<KeyChunk> chunks;
  int64_t delta_words, head_words;  // of one key head's parts of dq

  // Where the chunk's part of dq begins in the workspace.
  int64_t Part(const KeyChunk& chunk, int64_t key_head) const { return delta_words + key_head * head_words + chunk.part; }
};

}  // namespace rocit

#define ROCIT_BF16_PATH
#define ROCIT_AMX_PATH
#define ROCIT_LOOPS "tree_attention_grad_loops.h"
#include "each_path.h"

namespace {

using rocit::GradPlan;
using rocit::KeyChunk;
using rocit::kKeyStride;
using rocit::kTileKeys;
using rocit::kTileRows;
using rocit::Range;

constexpr int64_t kChunks = 24;      // of all key heads: enough to share out evenly, few enough to add up
constexpr int64_t kLeastVisits = 8;  // tiles of rows a chunk meets at least

int64_t RowTiles(int64_t rows) { return (rows + kTileRows - 1) / kTileRows; }

int64_t TileWords(int64_t head_dim) {
  return 5 * kTileRows * kKeyStride + (2 * kKeyStride + 3 * kTileKeys + 4 * kTileRows) * rocit::RoundUp(head_dim, 16);
}

Range SeenBy(const RocitTreeAttentionInputs& in, int64_t tile) {
  const int64_t group = in.num_heads / in.num_key_value_heads;
  const int64_t begin = std::max(tile * kTileKeys, in.query_start);
  int64_t end = begin;
  for (int64_t key = tile * kTileKeys; key < std::min(in.num_keys, (tile + 1) * kTileKeys); ++key) {
    end = std::max<int64_t>(end, in.subtree_end[key]);
  }
  if (end == begin) return {0, 0};
  return {(begin - in.query_start) * group / kTileRows, RowTiles((end - in.query_start) * group)};
}

void Append(GradPlan* plan, int64_t begin, int64_t end, int64_t row_words) {
  Range rows = {0, 0};
  for (int64_t tile = begin; tile < end; ++tile) {
    const Range seen = plan->seen_by[tile];
    if (seen.begin == seen.end) continue;
    if (rows.begin == rows.end) rows = seen;
    rows.end = std::max(rows.end, seen.end);
  }
  plan->chunks.push_back({begin, end, rows, plan->head_words});
  plan->head_words += (rows.end - rows.begin) * kTileRows * row_words;
}

GradPlan MakePlan(const RocitTreeAttentionInputs& in) {
  GradPlan plan;
  const int64_t row_words = rocit::RoundUp(in.head_dim, 16), tiles = (in.num_keys + kTileKeys - 1) / kTileKeys;
  plan.delta_words = rocit::RoundUp(in.num_queries * in.num_heads, 16);
  plan.head_words = 0;
  int64_t total = 0;
  for (int64_t tile = 0; tile < tiles; ++tile) {
    plan.seen_by.push_back(SeenBy(in, tile));
    total += plan.seen_by[tile].end - plan.seen_by[tile].begin;
  }
  const int64_t wanted = (kChunks + in.num_key_value_heads - 1) / in.num_key_value_heads;
  const int64_t count = std::max<int64_t>(1, std::min(wanted, total / kLeastVisits));
  int64_t begin = 0, visits = 0, chunk = 1;
  for (int64_t tile = 0; tile < tiles; ++tile) {
    visits += plan.seen_by[tile].end - plan.seen_by[tile].begin;
    if (visits * count < total * chunk && tile + 1 < tiles) continue;
    Append(&plan, begin, tile + 1, row_words);
    begin = tile + 1;
    chunk = visits * count / std::max<int64_t>(total, 1) + 1;
  }
  return plan;
}

int64_t Words(const RocitTreeAttentionInputs& in, const GradPlan& plan) {
  return plan.delta_words + in.num_key_value_heads * plan.head_words;
}

}  // namespace

int64_t rocit_tree_attention_grad_workspace(const RocitTreeAttentionInputs* in) {
  return Words(*in, MakePlan(*in)) * static_cast<int64_t>(sizeof(float));
}

void rocit_tree_attention_grad(const RocitTreeAttentionGradArgs* args, const RocitParallel* parallel) {
  const RocitTreeAttentionInputs& in = args->in;
  const int64_t K = in.num_key_value_heads, D = in.head_dim;
  if (in.num_keys == 0 || K == 0 || D == 0) return;
  const GradPlan plan = MakePlan(in);
  const bool is_single = in.dtype == ROCIT_FLOAT32;
  rocit::ParallelFor(parallel, in.num_queries, in.num_heads * D / 8, [&](int64_t begin, int64_t end) {
    if (is_single) {
      ROCIT_DISPATCH(DotOutputs<float>, *args, begin, end);
    } else {
      ROCIT_DISPATCH(DotOutputs<rocit::Bfloat16>, *args, begin, end);
    }
  });
  // Chunks with most rows first.
  const int64_t items = static_cast<int64_t>(plan.chunks.size()) * K;
  const int64_t cost = 1 + in.num_keys * in.num_queries * in.num_heads * D / std::max<int64_t>(1, items) / 8;
  rocit::EachItem(parallel, items, cost, TileWords(D), [&](int64_t item, rocit::TileMemory* memory) {
    ROCIT_DISPATCH(PullAnyChunk, *args, plan, plan.chunks[item / K], item % K, memory);
  });
  const int64_t row_tiles = RowTiles(rocit::AttentionRows(in, 0).count);
  rocit::ParallelFor(parallel, row_tiles * K, kTileRows * D, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      if (is_single) {
        ROCIT_DISPATCH(SumParts<float>, *args, plan, i % K, i / K);
      } else {
        ROCIT_DISPATCH(SumParts<rocit::Bfloat16>, *args, plan, i % K, i / K);
      }
    }
  });
}
