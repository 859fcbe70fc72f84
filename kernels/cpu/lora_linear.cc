// lora_linear forward on the CPU: z, then every y as one product of two segments, [x | scaling z] [W | B]^T, whose sums
// never leave the registers in between. Bound by the multiply-add units; each result is written once.
#include "lora_linear.h"

#include <cstring>
#include <vector>

#include "float_parts.h"
#include "gemm_pieces.h"
#include "lora_adapters.h"

namespace rocit {
namespace {

// z of all projections: one product with the A's below each other, or with dropout one for each.
void ComputeZ(const RocitLoraLinearArgs& args, const Adapters& adapters, const RocitParallel* parallel) {
  const int64_t in = args.in_features, total = adapters.total();
  FloatParts parts(args.dtype, parallel);
  std::vector<float> joined;
  Segment segments[kMostProjections][3];
  Product products[kMostProjections];
  int64_t count = 0;
  const auto add = [&](const float* a, int64_t begin, int64_t end, const Dropout* dropout) {
    const Segment segment = {Plain(args.x, args.dtype, in), {a, ROCIT_FLOAT32, in, true}, in, 1, dropout};
    const int64_t num = parts.SplitRight(segment, end - begin, segments[count]);
    products[count] = {segments[count], num,     args.num_rows,        end - begin, args.z + begin, ROCIT_FLOAT32,
                       total,           nullptr, ROCIT_FLOAT32, 0};
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
  MultiplyPieces(pieces, parallel);
}

void ComputeY(const RocitLoraLinearArgs& args, const Adapters& adapters, const RocitParallel* parallel) {
  FloatParts parts(args.dtype, parallel);
  Segment segments[kMostProjections][2];
  Product products[kMostProjections];
  std::vector<Piece> pieces;
  for (int64_t p = 0; p < args.num_projections; ++p) {
    const RocitLoraProjection& own = args.projections[p];
    const int64_t in = args.in_features;
    segments[p][0] = {Plain(args.x, args.dtype, in), Transposed(own.weight, args.dtype, in), in, 1, nullptr};
    if (own.rank > 0) {
      const Segment low_rank = {Floats(args.z + adapters.offsets[p], adapters.total()),
                                Transposed(own.b, ROCIT_FLOAT32, own.rank), own.rank, own.scaling, nullptr};
      segments[p][1] = parts.SplitBoth(low_rank, args.num_rows, own.out_features);
    }
    products[p] = {segments[p], own.rank > 0 ? 2 : 1, args.num_rows, own.out_features, args.y[p], args.dtype,
                   own.out_features, own.bias, args.dtype, 0};
    AddPieces(products[p], &pieces);
  }
  MultiplyPieces(pieces, parallel);
}

}  // namespace
}  // namespace rocit

void rocit_lora_linear(const RocitLoraLinearArgs* args, const RocitParallel* parallel) {
  const rocit::Adapters adapters(args->projections, args->num_projections);
  if (adapters.total() > 0) rocit::ComputeZ(*args, adapters, parallel);
  rocit::ComputeY(*args, adapters, parallel);
}
