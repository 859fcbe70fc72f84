// lora_linear on the CPU. Forward: z, then every y as one product of two segments, [x | scaling z] [W | B]^T, whose sums
// never leave the registers in between. Backward: dz, then dx as one product over all projections and their adapters,
// beside the adapters' own gradients. Bound by the multiply-add units; each result is written once.
#include "lora_linear.h"

#include <cmath>
#include <cstring>
#include <vector>

#include "elements.h"
#include "gemm_pieces.h"
#include "gemm_segment.h"
#include "lora_linear_parts.h"
#include "parallel.h"
#include "scratch.h"

#define ROCIT_BF16_PATH
#define ROCIT_AMX_PATH
#define ROCIT_LOOPS "lora_linear_loops.h"
#include "each_path.h"

namespace {

using rocit::Dropout;
using rocit::Matrix;
using rocit::OuterPiece;
using rocit::OuterProduct;
using rocit::Piece;
using rocit::Product;
using rocit::Segment;

constexpr int64_t kMost = ROCIT_LORA_MOST_PROJECTIONS;
constexpr int64_t kThinRows = 128;  // of a piece with few columns

// What forward and backward know of the projections of a call.
struct Adapters {
  const RocitLoraProjection* all;
  int64_t count;
  int64_t offsets[kMost + 1];  // of the columns of z
  Dropout dropouts[kMost];
  bool any_dropout = false;

  Adapters(const RocitLoraProjection* projections, int64_t num) : all(projections), count(num) {
    offsets[0] = 0;
    for (int64_t p = 0; p < num; ++p) {
      offsets[p + 1] = offsets[p] + projections[p].rank;
      const double dropout = projections[p].dropout;
      dropouts[p] = {projections[p].seed, static_cast<uint32_t>(std::ceil(dropout * 4294967296.0)),
                     static_cast<float>(1 / (1 - dropout))};
      any_dropout = any_dropout || DropoutOf(p) != nullptr;
    }
  }
  int64_t total() const { return offsets[count]; }
  const Dropout* DropoutOf(int64_t p) const { return all[p].rank > 0 && all[p].dropout > 0 ? &dropouts[p] : nullptr; }
};

Matrix Plain(const void* data, RocitDtype dtype, int64_t stride) { return {data, dtype, stride, false}; }
Matrix Transposed(const void* data, RocitDtype dtype, int64_t stride) { return {data, dtype, stride, true}; }
Matrix Floats(const float* data, int64_t stride) { return {data, ROCIT_FLOAT32, stride, false}; }

void Multiply(const std::vector<Piece>& pieces, const std::vector<OuterPiece>& outer, const RocitParallel* parallel) {
  const int64_t count = static_cast<int64_t>(pieces.size()), all = count + static_cast<int64_t>(outer.size());
  int64_t cost = 100000;
  for (const Piece& piece : pieces) cost = std::min(cost, rocit::PieceCost(piece));
  rocit::ParallelFor(parallel, all, cost, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      if (i < count) ROCIT_DISPATCH(MultiplyPiece, pieces[i]);
      else ROCIT_DISPATCH(MultiplyOuterPiece, outer[i - count]);
    }
  });
}

// Pieces of a product with few columns: all columns by some rows.
void AddThinPieces(const Product& product, std::vector<Piece>* pieces) {
  if (product.columns == 0) return;
  const int64_t rows = kThinRows / rocit::RowStep() * rocit::RowStep();
  for (int64_t r = 0; r < product.rows; r += rows) {
    pieces->push_back({&product, r, std::min(r + rows, product.rows), 0, product.columns});
  }
}

void AddOuterPieces(const OuterProduct& product, std::vector<OuterPiece>* pieces) {
  for (int64_t c = 0; c < product.columns; c += rocit::kOuterColumns) {
    pieces->push_back({&product, c, std::min(c + rocit::kOuterColumns, product.columns)});
  }
}

// z of all projections: one product with the A's below each other, or with dropout one for each.
void ComputeZ(const RocitLoraLinearArgs& args, const Adapters& adapters, const RocitParallel* parallel) {
  const int64_t in = args.in_features, total = adapters.total();
  std::vector<float> joined;
  Segment segments[kMost];
  Product products[kMost];
  int64_t count = 0;
  const auto add = [&](const float* a, int64_t begin, int64_t end, const Dropout* dropout) {
    segments[count] = {Plain(args.x, args.dtype, in), {a, ROCIT_FLOAT32, in, true}, in, 1, dropout};
    products[count] = {&segments[count], 1,       args.num_rows,        end - begin, args.z + begin, ROCIT_FLOAT32,
                       total,            nullptr, ROCIT_FLOAT32, 0};
    count += 1;
  };
  if (adapters.any_dropout || adapters.count == 1) {
    for (int64_t p = 0; p < adapters.count; ++p) {
      add(adapters.all[p].a, adapters.offsets[p], adapters.offsets[p + 1], adapters.DropoutOf(p));
    }
  } else {
    joined.resize(total * in);
    for (int64_t p = 0; p < adapters.count; ++p) {
      const int64_t size = adapters.all[p].rank * in;
      if (size > 0) std::memcpy(joined.data() + adapters.offsets[p] * in, adapters.all[p].a, size * sizeof(float));
    }
    add(joined.data(), 0, total, nullptr);
  }
  std::vector<Piece> pieces;
  for (int64_t i = 0; i < count; ++i) AddThinPieces(products[i], &pieces);
  Multiply(pieces, {}, parallel);
}

void ComputeY(const RocitLoraLinearArgs& args, const Adapters& adapters, const RocitParallel* parallel) {
  Segment segments[kMost][2];
  Product products[kMost];
  std::vector<Piece> pieces;
  for (int64_t p = 0; p < args.num_projections; ++p) {
    const RocitLoraProjection& own = args.projections[p];
    const int64_t in = args.in_features;
    segments[p][0] = {Plain(args.x, args.dtype, in), Transposed(own.weight, args.dtype, in), in, 1, nullptr};
    segments[p][1] = {Floats(args.z + adapters.offsets[p], adapters.total()),
                      Transposed(own.b, ROCIT_FLOAT32, own.rank), own.rank, own.scaling, nullptr};
    products[p] = {segments[p], own.rank > 0 ? 2 : 1, args.num_rows, own.out_features, args.y[p], args.dtype,
                   own.out_features, own.bias, args.dtype, 0};
    rocit::AddPieces(products[p], &pieces);
  }
  Multiply(pieces, {}, parallel);
}

// dz of all projections side by side; zero where no gradient came.
void ComputeDz(const RocitLoraLinearGradArgs& args, const Adapters& adapters, float* dz, const RocitParallel* parallel) {
  Segment segments[kMost];
  Product products[kMost];
  std::vector<Piece> pieces;
  for (int64_t p = 0; p < args.num_projections; ++p) {
    const RocitLoraProjection& own = args.projections[p];
    if (own.rank == 0 || args.dy[p] == nullptr) continue;
    segments[p] = {Plain(args.dy[p], args.dtype, own.out_features), Floats(own.b, own.rank), own.out_features,
                   own.scaling, nullptr};
    products[p] = {&segments[p], 1,       args.num_rows,        own.rank, dz + adapters.offsets[p], ROCIT_FLOAT32,
                   adapters.total(), nullptr, ROCIT_FLOAT32, 0};
    AddThinPieces(products[p], &pieces);
  }
  Multiply(pieces, {}, parallel);
}

// The products behind dx: without dropout a single one into dx; with it the base into `parts`, an adapter each beside.
class InputGradient {
 public:
  InputGradient(const RocitLoraLinearGradArgs& args, const Adapters& adapters, const float* dz)
      : args_(args), size_(args.num_rows * args.in_features) {
    if (args.dx == nullptr) return;
    const int64_t in = args.in_features;
    for (int64_t p = 0; p < args.num_projections; ++p) {
      const int64_t out = args.projections[p].out_features;
      if (args.dy[p] == nullptr) continue;
      base_[num_base_++] = {Plain(args.dy[p], args.dtype, out), Plain(args.projections[p].weight, args.dtype, in), out,
                            1, nullptr};
    }
    for (int64_t p = 0; p < args.num_projections; ++p) {
      if (args.projections[p].rank == 0 || args.dy[p] == nullptr) continue;
      const Segment segment = {Floats(dz + adapters.offsets[p], adapters.total()), Floats(args.projections[p].a, in),
                               args.projections[p].rank, 1, nullptr};
      if (adapters.DropoutOf(p) == nullptr) {
        base_[num_base_++] = segment;
      } else {
        masked_[num_masked_] = segment;
        dropouts_[++num_masked_] = adapters.DropoutOf(p);
      }
    }
    floats_.resize(num_masked_ > 0 ? (num_masked_ + 1) * size_ : 0);
    const bool is_direct = num_masked_ == 0;
    products_[0] = MakeProduct(base_, num_base_, is_direct ? args.dx : floats_.data(),
                               is_direct ? args.dtype : ROCIT_FLOAT32);
    for (int64_t m = 0; m < num_masked_; ++m) {
      products_[m + 1] = MakeProduct(&masked_[m], 1, floats_.data() + (m + 1) * size_, ROCIT_FLOAT32);
    }
  }

  void AddPieces(std::vector<Piece>* pieces) const {
    if (args_.dx == nullptr) return;
    for (int64_t m = 0; m <= num_masked_; ++m) rocit::AddPieces(products_[m], pieces);
  }

  void Finish(const RocitParallel* parallel) const {
    if (num_masked_ == 0) return;
    const float* parts[kMost + 1];
    for (int64_t m = 0; m <= num_masked_; ++m) parts[m] = floats_.data() + m * size_;
    const rocit::MaskedSum sum = {parts, dropouts_, num_masked_ + 1, args_.in_features, args_.dx, args_.dtype};
    rocit::ParallelFor(parallel, args_.num_rows, args_.in_features, [&](int64_t begin, int64_t end) {
      if (args_.dtype == ROCIT_FLOAT32) ROCIT_DISPATCH(AddMasked<float>, sum, begin, end);
      else ROCIT_DISPATCH(AddMasked<rocit::Bfloat16>, sum, begin, end);
    });
  }

 private:
  Product MakeProduct(const Segment* segments, int64_t count, void* to, RocitDtype dtype) const {
    return {segments, count, args_.num_rows, args_.in_features, to, dtype, args_.in_features, nullptr, ROCIT_FLOAT32, 0};
  }

  const RocitLoraLinearGradArgs& args_;
  int64_t size_, num_base_ = 0, num_masked_ = 0;
  Segment base_[2 * kMost], masked_[kMost];
  const Dropout* dropouts_[kMost + 1] = {};
  Product products_[kMost + 1];
  std::vector<float> floats_;
};

// dA and dB of all projections as outer products.
class AdapterGradients {
 public:
  AdapterGradients(const RocitLoraLinearGradArgs& args, const Adapters& adapters, const float* dz) {
    const int64_t total = adapters.total(), in = args.in_features, rows = args.num_rows;
    rows_of_a_.resize(total);
    rows_of_b_.resize(total);
    for (int64_t p = 0; p < args.num_projections; ++p) {
      const int64_t rank = args.projections[p].rank, out = args.projections[p].out_features, at = adapters.offsets[p];
      for (int64_t r = 0; r < rank; ++r) {
        rows_of_a_[at + r] = args.da[p] + r * in;
        rows_of_b_[at + r] = args.db[p] + r;
      }
      if (rank == 0) continue;
      if (adapters.any_dropout) {
        products_.push_back({dz + at, total, rank, Plain(args.x, args.dtype, in), rows, in, adapters.DropoutOf(p), 1,
                             rows_of_a_.data() + at, 1});
      }
      // Without a gradient of y there are no rows to sum over.
      products_.push_back({args.z + at, total, rank, Plain(args.dy[p], args.dtype, out),
                           args.dy[p] == nullptr ? 0 : rows, out, nullptr, args.projections[p].scaling,
                           rows_of_b_.data() + at, rank});
    }
    if (adapters.any_dropout || total == 0) return;
    products_.push_back(
        {dz, total, total, Plain(args.x, args.dtype, in), rows, in, nullptr, 1, rows_of_a_.data(), 1});
  }

  void AddPieces(std::vector<OuterPiece>* pieces) const {
    for (const OuterProduct& product : products_) AddOuterPieces(product, pieces);
  }

 private:
  std::vector<float*> rows_of_a_, rows_of_b_;
  std::vector<OuterProduct> products_;
};

}  // namespace

void rocit_lora_linear(const RocitLoraLinearArgs* args, const RocitParallel* parallel) {
  const Adapters adapters(args->projections, args->num_projections);
  if (adapters.total() > 0) ComputeZ(*args, adapters, parallel);
  ComputeY(*args, adapters, parallel);
}

void rocit_lora_linear_grad(const RocitLoraLinearGradArgs* args, const RocitParallel* parallel) {
  const Adapters adapters(args->projections, args->num_projections);
  std::vector<float> dz(args->num_rows * adapters.total());
  ComputeDz(*args, adapters, dz.data(), parallel);
  const InputGradient input(*args, adapters, dz.data());
  const AdapterGradients own(*args, adapters, dz.data());
  std::vector<Piece> pieces;
  std::vector<OuterPiece> outer;
  input.AddPieces(&pieces);
  own.AddPieces(&outer);
  Multiply(pieces, outer, parallel);
  input.Finish(parallel);
}
