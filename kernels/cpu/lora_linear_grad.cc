// lora_linear backward on the CPU: dz, then dx as one product over all projections and their adapters, beside the
// adapters' own gradients. Bound by the multiply-add units; each result is written once.
#include <cstring>
#include <vector>

#include "elements.h"
#include "float_parts.h"
#include "gemm_pieces.h"
#include "gemm_segment.h"
#include "lora_adapters.h"
#include "lora_linear.h"
#include "lora_linear_grad_parts.h"
#include "parallel.h"
#include "scratch.h"

#define ROCIT_BF16_PATH
#define ROCIT_LOOPS "lora_linear_grad_loops.h"
#include "each_path.h"

namespace rocit {
namespace {

void Multiply(const std::vector<Piece>& pieces, const std::vector<OuterPiece>& outer, const RocitParallel* parallel) {
  const int64_t count = static_cast<int64_t>(pieces.size()), all = count + static_cast<int64_t>(outer.size());
  int64_t cost = 100000;
  for (const Piece& piece : pieces) cost = std::min(cost, PieceCost(piece));
  ParallelFor(parallel, all, cost, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      if (i < count) MultiplyAnyPiece(pieces[i]);
      else ROCIT_DISPATCH(MultiplyOuterPiece, outer[i - count]);
    }
  });
}

void AddOuterPieces(const OuterProduct& product, std::vector<OuterPiece>* pieces) {
  for (int64_t c = 0; c < product.columns; c += kOuterColumns) {
    pieces->push_back({&product, c, std::min(c + kOuterColumns, product.columns)});
  }
}

// dz of all projections side by side; zero where no gradient came.
void ComputeDz(const RocitLoraLinearGradArgs& args, const Adapters& adapters, float* dz, const RocitParallel* parallel) {
  FloatParts parts(args.dtype, parallel);
  Segment segments[kMostProjections][3];
  Product products[kMostProjections];
  std::vector<Piece> pieces;
  for (int64_t p = 0; p < args.num_projections; ++p) {
    const RocitLoraProjection& own = args.projections[p];
    if (own.rank == 0 || args.dy[p] == nullptr) continue;
    const Segment segment = {Plain(args.dy[p], args.dtype, own.out_features), Floats(own.b, own.rank), own.out_features,
                             own.scaling, nullptr};
    const int64_t num = parts.SplitRight(segment, own.rank, segments[p]);
    products[p] = {segments[p], num,     args.num_rows,        own.rank, dz + adapters.offsets[p], ROCIT_FLOAT32,
                   adapters.total(), nullptr, ROCIT_FLOAT32, 0};
    AddThinPieces(products[p], &pieces);
  }
  MultiplyPieces(pieces, parallel);
}

// The products behind dx: without dropout a single one into dx; with it the base into `parts`, an adapter each beside.
class InputGradient {
 public:
  InputGradient(const RocitLoraLinearGradArgs& args, const Adapters& adapters, const float* dz, FloatParts* parts)
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
        base_[num_base_++] = parts->SplitBoth(segment, args.num_rows, in);
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
    const float* parts[kMostProjections + 1];
    for (int64_t m = 0; m <= num_masked_; ++m) parts[m] = floats_.data() + m * size_;
    const MaskedSum sum = {parts, dropouts_, num_masked_ + 1, args_.in_features, args_.dx, args_.dtype};
    ParallelFor(parallel, args_.num_rows, args_.in_features, [&](int64_t begin, int64_t end) {
      if (args_.dtype == ROCIT_FLOAT32) ROCIT_DISPATCH(AddMasked<float>, sum, begin, end);
      else ROCIT_DISPATCH(AddMasked<Bfloat16>, sum, begin, end);
    });
  }

 private:
  Product MakeProduct(const Segment* segments, int64_t count, void* to, RocitDtype dtype) const {
    return {segments, count, args_.num_rows, args_.in_features, to, dtype, args_.in_features, nullptr, ROCIT_FLOAT32, 0};
  }

  const RocitLoraLinearGradArgs& args_;
  int64_t size_, num_base_ = 0, num_masked_ = 0;
  Segment base_[2 * kMostProjections], masked_[kMostProjections];
  const Dropout* dropouts_[kMostProjections + 1] = {};
  Product products_[kMostProjections + 1];
  std::vector<float> floats_;
};

// dA and dB of all projections: outer products of the register tile; on the tile registers of AMX plain products, beside a
// bfloat16 base with three rows a row, its parts, which are added up at the end.
class AdapterGradients {
 public:
  AdapterGradients(const RocitLoraLinearGradArgs& args, const Adapters& adapters, const float* dz, FloatParts* parts)
      : parts_(parts) {
    const int64_t total = adapters.total(), in = args.in_features, rows = args.num_rows;
    const Matrix x = Plain(args.x, args.dtype, in);
    rows_of_a_.resize(total);
    rows_of_b_.resize(total);
    before_a_.resize(total);
    before_b_.resize(total);
    for (int64_t p = 0; p < args.num_projections; ++p) {
      const int64_t rank = args.projections[p].rank, out = args.projections[p].out_features, at = adapters.offsets[p];
      for (int64_t r = 0; r < rank; ++r) {
        rows_of_a_[at + r] = args.da[p] + r * in;
        rows_of_b_[at + r] = args.db[p] + r;
        if (args.da_before != nullptr && args.da_before[p] != nullptr) before_a_[at + r] = args.da_before[p] + r * in;
        if (args.db_before != nullptr && args.db_before[p] != nullptr) before_b_[at + r] = args.db_before[p] + r;
      }
      if (rank == 0) continue;
      if (adapters.any_dropout) {
        Add({dz + at, total, rank, x, rows, in, adapters.DropoutOf(p), 1, rows_of_a_.data() + at, before_a_.data() + at, 1});
      }
      // Without a gradient of y there are no rows to sum over.
      Add({args.z + at, total, rank, Plain(args.dy[p], args.dtype, out), args.dy[p] == nullptr ? 0 : rows, out, nullptr,
           args.projections[p].scaling, rows_of_b_.data() + at, before_b_.data() + at, rank});
    }
    if (adapters.any_dropout || total == 0) return;
    Add({dz, total, total, x, rows, in, nullptr, 1, rows_of_a_.data(), before_a_.data(), 1});
  }

  void AddPieces(std::vector<Piece>* pieces, std::vector<OuterPiece>* outer) const {
    for (int64_t i = 0; i < num_outer_; ++i) AddOuterPieces(outer_[i], outer);
    for (int64_t i = 0; i < num_plain_; ++i) rocit::AddPieces(plain_[i].product, pieces);
  }

  void Finish(const RocitParallel* parallel) const {
    for (int64_t i = 0; i < num_plain_; ++i) {
      const OuterProduct& of = plain_[i].of;
      const int64_t parts = plain_[i].product.rows / std::max<int64_t>(1, of.count), size = of.count * of.columns;
      ParallelFor(parallel, of.count, parts * of.columns, [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) {
          const float* sums = plain_[i].sums.get() + r * of.columns;
          for (int64_t c = 0; c < of.columns; ++c) {
            const float rest = parts == 3 ? sums[size + c] + sums[2 * size + c] : 0;
            StoreOuter(of, r, c, sums[c] + rest);
          }
        }
      });
    }
  }

 private:
  struct PlainProduct {
    OuterProduct of;
    Segment segment;
    Product product;
    std::unique_ptr<float[]> sums;  // [parts * count, columns]
  };

  void Add(const OuterProduct& product) {
    if (rocit_path() != ROCIT_AMX_BF16 || product.dropout != nullptr || product.rows == 0) {
      outer_[num_outer_++] = product;
      return;
    }
    PlainProduct* plain = &plain_[num_plain_++];
    plain->of = product;
    const int64_t count = parts_->splits() ? 3 * product.count : product.count;
    plain->sums.reset(new float[std::max<int64_t>(1, count * product.columns)]);
    if (parts_->splits()) {
      const Matrix s = parts_->SplitTransposed({product.s, product.s_stride, product.rows, product.count, product.scale});
      plain->segment = {s, product.y, product.rows, 1, nullptr};
    } else {
      plain->segment = {Transposed(product.s, ROCIT_FLOAT32, product.s_stride), product.y, product.rows, product.scale,
                        nullptr};
    }
    plain->product = {&plain->segment, 1,       count,         product.columns, plain->sums.get(), ROCIT_FLOAT32,
                      product.columns, nullptr, ROCIT_FLOAT32, 0};
  }

  FloatParts* parts_;
  std::vector<float*> rows_of_a_, rows_of_b_;
  std::vector<const float*> before_a_, before_b_;
  OuterProduct outer_[2 * kMostProjections];
  PlainProduct plain_[2 * kMostProjections];
  int64_t num_outer_ = 0, num_plain_ = 0;
};

}  // namespace
}  // namespace rocit

void rocit_lora_linear_grad(const RocitLoraLinearGradArgs* args, const RocitParallel* parallel) {
  const rocit::Adapters adapters(args->projections, args->num_projections);
  std::vector<float> dz(args->num_rows * adapters.total());
  rocit::ComputeDz(*args, adapters, dz.data(), parallel);
  rocit::FloatParts parts(args->dtype, parallel);
  const rocit::InputGradient input(*args, adapters, dz.data(), &parts);
  const rocit::AdapterGradients own(*args, adapters, dz.data(), &parts);
  std::vector<rocit::Piece> pieces;
  std::vector<rocit::OuterPiece> outer;
  input.AddPieces(&pieces);
  own.AddPieces(&pieces, &outer);
  rocit::Multiply(pieces, outer, parallel);
  input.Finish(parallel);
  own.Finish(parallel);
}
