// linear_cross_entropy on the CPU: pieces of some rows by a part of the vocabulary for the threads. A piece packs a slab
// of words both ways while it is in the cache, makes its logits for the rows of a tile, and adds their exponentials times the
// slab to the gradient: the weight is read from memory once for 512 rows, logits never leave the first-level cache.
// Bound by the multiply-add units.
#include "linear_cross_entropy.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <numeric>
#include <vector>

#include "elements.h"
#include "gemm_pieces.h"
#include "gemm_segment.h"
#include "linear_cross_entropy_parts.h"
#include "parallel.h"
#include "scratch.h"

#define ROCIT_BF16_PATH
#define ROCIT_AMX_PATH
#define ROCIT_LOOPS "linear_cross_entropy_loops.h"
#include "each_path.h"

namespace {

constexpr int64_t kRowsOfPiece = 512;
constexpr int64_t kPieces = 16;        // about as many, where the rows alone give fewer
constexpr int64_t kWordsOfPiece = 384;  // at least

class GatheredRows {
 public:
  explicit GatheredRows(const RocitLinearCrossEntropyArgs& args) : order_(args.num_edges) {
    std::iota(order_.begin(), order_.end(), 0);
    std::stable_sort(order_.begin(), order_.end(),
                     [&](int32_t a, int32_t b) { return args.edge_rows[a] < args.edge_rows[b]; });
    for (int64_t i = 0; i < args.num_edges; ++i) {
      const int32_t row = args.edge_rows[order_[i]];
      if (!rows_.empty() && rows_.back() == row) continue;
      rows_.push_back(row);
      first_.push_back(i);
    }
    first_.push_back(args.num_edges);
    const int64_t bytes = args.hidden_size * rocit::SizeOf(args.dtype);
    x_.resize(rows_.size() * bytes);
    for (size_t i = 0; i < rows_.size() && bytes > 0; ++i) {
      std::memcpy(x_.data() + i * bytes, static_cast<const char*>(args.x) + rows_[i] * bytes, bytes);
    }
  }
  rocit::EdgeRows edges() const {
    return {static_cast<int64_t>(rows_.size()), x_.data(), rows_.data(), first_.data(), order_.data()};
  }

 private:
  std::vector<int32_t> order_, rows_;
  std::vector<int64_t> first_;
  std::vector<char> x_;
};

struct Cut {
  int64_t rows, words, num_parts;
};

Cut CutWork(int64_t rows, int64_t words) {
  const int64_t row_step = rocit::EvenPart(rows, kRowsOfPiece, rocit::RowStep());
  const int64_t blocks = std::max<int64_t>(1, (rows + row_step - 1) / row_step);
  const int64_t size = std::max(kWordsOfPiece, words * blocks / kPieces);
  const int64_t word_step = rocit::EvenPart(words, size, rocit::kColumnStep);
  return {row_step, word_step, (words + word_step - 1) / word_step};
}

// Values that need no zeros at the start.
template <class T>
std::unique_ptr<T[]> Uninitialised(int64_t count) {
  return std::unique_ptr<T[]>(new T[std::max<int64_t>(count, 1)]);
}

}  // namespace

void rocit_linear_cross_entropy(const RocitLinearCrossEntropyArgs* args, const RocitParallel* parallel) {
  const int64_t C = args->hidden_size;
  const GatheredRows gathered(*args);
  const rocit::EdgeRows edges = gathered.edges();
  if (args->dx != nullptr) std::memset(args->dx, 0, args->num_rows * C * rocit::SizeOf(args->dtype));
  const Cut cut = CutWork(edges.count, args->vocab_size);
  const auto largest = Uninitialised<float>(cut.num_parts * edges.count);
  const auto sums = Uninitialised<float>(cut.num_parts * edges.count);
  const auto pulls = Uninitialised<float>(args->dx != nullptr ? cut.num_parts * edges.count * C : 0);
  const auto target_logits = Uninitialised<float>(args->num_edges);
  std::vector<rocit::EntropyPiece> pieces;
  for (int64_t r = 0; r < edges.count; r += cut.rows) {
    for (int64_t part = 0; part < cut.num_parts; ++part) {
      const int64_t at = part * edges.count, word = part * cut.words;
      pieces.push_back({args, &edges, r, std::min(r + cut.rows, edges.count), word,
                        std::min(word + cut.words, args->vocab_size), &largest[at], &sums[at],
                        args->dx != nullptr ? &pulls[at * C] : nullptr, target_logits.get()});
    }
  }
  const int64_t cost = cut.rows * cut.words * (C + 1) / 25;
  rocit::ParallelFor(parallel, static_cast<int64_t>(pieces.size()), cost, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) ROCIT_DISPATCH(TakePiece, pieces[i]);
  });
  const rocit::EntropyJoin join = {args,       &edges,      cut.num_parts,      largest.get(),
                                   sums.get(), pulls.get(), target_logits.get()};
  rocit::ParallelFor(parallel, edges.count, cut.num_parts * C / 4, [&](int64_t begin, int64_t end) {
    if (args->dtype == ROCIT_FLOAT32) ROCIT_DISPATCH(JoinRows<float>, join, begin, end);
    else ROCIT_DISPATCH(JoinRows<rocit::Bfloat16>, join, begin, end);
  });
  double loss = 0;
  for (int64_t e = 0; e < args->num_edges; ++e) {
    loss += static_cast<double>(args->edge_weights[e]) * static_cast<double>(args->edge_losses[e]);
  }
  *args->loss = static_cast<float>(loss);
}
