// embedding on CUDA: rows copied 16 bytes a thread where they allow it. Bound by memory.
#include "embedding.h"

#include "device.h"

namespace rocit {
namespace {

constexpr int kThreads = 256;

// Threads (x, y): x along a row, y rows a block.
template <class T, int kVec>
__global__ void __launch_bounds__(kThreads)
    EmbeddingKernel(int64_t num_ids, int64_t columns, int64_t vocab_size, const T* __restrict__ weight,
                    const int32_t* __restrict__ ids, T* __restrict__ y) {
  using Piece = Vec<T, kVec>;
  const int64_t n = static_cast<int64_t>(blockIdx.x) * blockDim.y + threadIdx.y;
  if (n >= num_ids) return;
  const int64_t id = ids[n];
  const bool is_inside = id >= 0 && id < vocab_size;
  Piece piece;
#pragma unroll
  for (int i = 0; i < kVec; ++i) piece.at[i] = FromFloat<T>(NAN);
  for (int64_t c = static_cast<int64_t>(threadIdx.x) * kVec; c < columns; c += static_cast<int64_t>(blockDim.x) * kVec) {
    if (is_inside) piece = Piece::Load(weight + id * columns + c);
    piece.Store(y + n * columns + c);
  }
}

template <class T, int kVec>
RocitCudaStatus Gather(const RocitEmbeddingArgs& a, const RocitCuda& cuda) {
  unsigned along = kWarpSize;
  while (along < kThreads && static_cast<int64_t>(along) * kVec < a.hidden_size) along *= 2;
  const dim3 block(along, kThreads / along);
  return Launch(&EmbeddingKernel<T, kVec>, dim3(NumBlocks(a.num_ids, block.y)), block, 0, cuda.stream, a.num_ids,
                a.hidden_size, a.vocab_size, static_cast<const T*>(a.weight), a.ids, static_cast<T*>(a.y));
}

template <class T>
RocitCudaStatus GatherOf(const RocitEmbeddingArgs& a, const RocitCuda& cuda) {
  const bool is_wide = IsAligned16<T>(a.weight, a.hidden_size) && IsAligned16<T>(a.y, a.hidden_size);
  return is_wide ? Gather<T, kWidest<T>>(a, cuda) : Gather<T, 1>(a, cuda);
}

}  // namespace
}  // namespace rocit

RocitCudaStatus rocit_embedding_cuda(const RocitEmbeddingArgs* args, const RocitCuda* cuda) {
  return args->dtype == ROCIT_BFLOAT16 ? rocit::GatherOf<rocit::Bf16>(*args, *cuda) : rocit::GatherOf<float>(*args, *cuda);
}
