// Matrix products on the CPU: pieces of some columns by some rows for the threads; a piece packs its columns of b into
// panels that stay in the cache and reads a where it lies. Bound by the multiply-add units.
#include "gemm.h"

#include <vector>

#include "elements.h"
#include "gemm_pieces.h"
#include "gemm_segment.h"
#include "parallel.h"
#include "scratch.h"

#define ROCIT_BF16_PATH
#define ROCIT_AMX_PATH
#define ROCIT_LOOPS "gemm_loops.h"
#include "each_path.h"

void rocit::MultiplyAnyPiece(const Piece& piece) { ROCIT_DISPATCH(MultiplyPiece, piece); }

void rocit::MultiplyPieces(const std::vector<Piece>& pieces, const RocitParallel* parallel) {
  int64_t cost = 100000;
  for (const Piece& piece : pieces) cost = std::min(cost, PieceCost(piece));
  ParallelFor(parallel, static_cast<int64_t>(pieces.size()), cost, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) MultiplyAnyPiece(pieces[i]);
  });
}

void rocit_gemm(const RocitGemmArgs* args, const RocitParallel* parallel) {
  const rocit::Segment segment = {{args->a, args->dtype, args->a_stride, args->a_transposed != 0},
                                  {args->b, args->dtype, args->b_stride, args->b_transposed != 0},
                                  args->k,
                                  1,
                                  nullptr};
  const rocit::Product product = {&segment, 1,       args->m,        args->n,   args->c, args->c_dtype,
                                  args->c_stride, nullptr, ROCIT_FLOAT32, args->beta};
  std::vector<rocit::Piece> pieces;
  rocit::AddPieces(product, &pieces);
  rocit::MultiplyPieces(pieces, parallel);
}
