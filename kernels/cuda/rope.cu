// rope on CUDA. A block takes a few rows: it makes the sines of their angles once, in shared memory, for all heads. Bound
// by memory; angles are reduced in float64 as on the CPU, a few hundred operations a row.
#include "rope.h"

#include "device.h"

namespace rocit {
namespace {

constexpr int kThreads = 256;
constexpr int kMostRows = 16;                // of a block
constexpr int64_t kTableBytes = 16 * 1024;  // of a block with more than one row
constexpr int64_t kMostWidth = 1 << 24;     // channels of a row

struct Turn {
  float cos, sin;
};

// The angle less the nearest multiple of pi / 2, whose two parts are the first 33 bits and the rest; then polynomials of
// the Cephes library, within 1 unit in the last place of 1.
__device__ __forceinline__ Turn TurnBy(float angle) {
  const double n = rint(static_cast<double>(angle) * 0.63661977236758134);
  const double rest = (static_cast<double>(angle) - n * 1.5707963267341256) - n * 6.0771005065061922e-11;
  const int quadrant = static_cast<int>(static_cast<long long>(n) & 3);
  const float r = static_cast<float>(rest), z = r * r;
  const float sin = r + r * z * ((z * -1.9515295891e-4f + 8.3321608736e-3f) * z - 1.6666654611e-1f);
  const float cos =
      (1.0f - 0.5f * z) + z * z * ((z * 2.443315711809948e-5f - 1.388731625493765e-3f) * z + 4.166664568298827e-2f);
  const float one = quadrant & 1 ? sin : cos, other = quadrant & 1 ? cos : sin;
  return {(quadrant + 1) & 2 ? -one : one, quadrant & 2 ? -other : other};
}

// kCount neighbours of a table in shared memory, 16 bytes at a time.
template <int kCount>
__device__ __forceinline__ void LoadFactors(const float* table, float (&factors)[kCount]) {
  constexpr int kWidth = kCount < 4 ? kCount : 4;
#pragma unroll
  for (int i = 0; i < kCount; i += kWidth) {
    const auto some = Vec<float, kWidth>::Load(table + i);
#pragma unroll
    for (int k = 0; k < kWidth; ++k) factors[i + k] = some.at[k];
  }
}

// kCount pairs (i, i + pairs).
template <class T, int kCount>
__device__ __forceinline__ void TurnHalves(const T* x, T* y, int pairs, const float* cosines, const float* sines) {
  float a[kCount], b[kCount], cos[kCount], sin[kCount];
  const auto low = Vec<T, kCount>::Load(x), high = Vec<T, kCount>::Load(x + pairs);
  ToFloats(low, a);
  ToFloats(high, b);
  LoadFactors(cosines, cos);
  LoadFactors(sines, sin);
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    const float own = a[i];
    a[i] = own * cos[i] - b[i] * sin[i];
    b[i] = b[i] * cos[i] + own * sin[i];
  }
  Rounded<T>(a).Store(y);
  Rounded<T>(b).Store(y + pairs);
}

// kCount pairs (2 i, 2 i + 1); kVec channels an access.
template <class T, int kVec, int kCount>
__device__ __forceinline__ void TurnNeighbours(const T* x, T* y, const float* cosines, const float* sines) {
  float channels[2 * kCount], cos[kCount], sin[kCount];
#pragma unroll
  for (int i = 0; i < 2 * kCount; i += kVec) {
    const auto some = Vec<T, kVec>::Load(x + i);
#pragma unroll
    for (int k = 0; k < kVec; ++k) channels[i + k] = ToFloat(some.at[k]);
  }
  LoadFactors(cosines, cos);
  LoadFactors(sines, sin);
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    const float a = channels[2 * i], b = channels[2 * i + 1];
    channels[2 * i] = a * cos[i] - b * sin[i];
    channels[2 * i + 1] = b * cos[i] + a * sin[i];
  }
#pragma unroll
  for (int i = 0; i < 2 * kCount; i += kVec) {
    float some[kVec];
#pragma unroll
    for (int k = 0; k < kVec; ++k) some[k] = channels[i + k];
    Rounded<T>(some).Store(y + i);
  }
}

struct Sizes {
  int64_t rows;
  int rows_per_block, head_dim, pairs;
  float direction;
  int heads;  // of all tensors
  RocitRopeTensor tensors[ROCIT_ROPE_MOST_TENSORS];
};

// A unit is kVec pairs half-split, max(1, kVec / 2) interleaved, or kVec channels that pass.
template <class T, int kVec, bool kInterleaved>
__global__ void __launch_bounds__(kThreads)
    RopeKernel(Sizes s, const int32_t* __restrict__ positions, const float* __restrict__ inv_freq) {
  constexpr int kPairs = kInterleaved ? (kVec + 1) / 2 : kVec;
  float* cosines = DynamicShared<float>();
  float* sines = cosines + s.rows_per_block * s.pairs;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * s.rows_per_block;
  const int rows = static_cast<int>(min(static_cast<int64_t>(s.rows_per_block), s.rows - first));
  for (int i = static_cast<int>(threadIdx.x); i < rows * s.pairs; i += kThreads) {
    const Turn turn = TurnBy(__fmul_rn(static_cast<float>(positions[first + i / s.pairs]), inv_freq[i % s.pairs]));
    cosines[i] = turn.cos;
    sines[i] = s.direction * turn.sin;
  }
  __syncthreads();
  const int turned = s.pairs / kPairs, passed = (s.head_dim - 2 * s.pairs) / kVec, units = turned + passed;
  for (int i = static_cast<int>(threadIdx.x); i < rows * s.heads * units; i += kThreads) {
    const int unit = i % units, any_head = i / units % s.heads, row = i / units / s.heads;
    const bool is_first = any_head < s.tensors[0].num_heads;
    const RocitRopeTensor tensor = is_first ? s.tensors[0] : s.tensors[1];
    const int64_t head = any_head - (is_first ? 0 : s.tensors[0].num_heads);
    const T* __restrict__ from = static_cast<const T*>(tensor.x) + (first + row) * tensor.x_stride + head * s.head_dim;
    T* __restrict__ to = static_cast<T*>(tensor.y) + (first + row) * tensor.y_stride + head * s.head_dim;
    const int factor = row * s.pairs + unit * kPairs;
    if (unit >= turned) {
      const int c = 2 * s.pairs + (unit - turned) * kVec;
      Vec<T, kVec>::Load(from + c).Store(to + c);
    } else if constexpr (kInterleaved) {
      const int c = 2 * unit * kPairs;
      TurnNeighbours<T, kVec, kPairs>(from + c, to + c, cosines + factor, sines + factor);
    } else {
      const int c = unit * kPairs;
      TurnHalves<T, kPairs>(from + c, to + c, s.pairs, cosines + factor, sines + factor);
    }
  }
}

int64_t Heads(const RocitRopeArgs& a) {
  int64_t heads = 0;
  for (int t = 0; t < a.num_tensors; ++t) heads += a.tensors[t].num_heads;
  return heads;
}

// Enough rows for a unit a thread, as long as their table stays small.
int RowsPerBlock(const RocitRopeArgs& a, int vec) {
  const int64_t units = Heads(a) * a.head_dim / (2 * vec) + 1;
  const int64_t row_bytes = a.rotary_dim * static_cast<int64_t>(sizeof(float)) + 1;
  int64_t rows = kThreads / units < kTableBytes / row_bytes ? kThreads / units : kTableBytes / row_bytes;
  rows = rows < kMostRows ? rows : kMostRows;
  return rows > 1 ? static_cast<int>(rows) : 1;
}

template <class T, int kVec, bool kInterleaved>
RocitCudaStatus Rotate(const RocitRopeArgs& a, const RocitCuda& cuda) {
  if (Heads(a) * a.head_dim > kMostWidth) return static_cast<RocitCudaStatus>(cudaErrorInvalidValue);
  Sizes sizes = {};
  sizes.rows = a.num_rows;
  sizes.rows_per_block = RowsPerBlock(a, kVec);
  sizes.head_dim = static_cast<int>(a.head_dim);
  sizes.pairs = static_cast<int>(a.rotary_dim / 2);
  sizes.direction = static_cast<float>(a.direction);
  sizes.heads = static_cast<int>(Heads(a));
  for (int t = 0; t < a.num_tensors; ++t) sizes.tensors[t] = a.tensors[t];
  const size_t table = static_cast<size_t>(sizes.rows_per_block) * static_cast<size_t>(a.rotary_dim) * sizeof(float);
  return Launch(&RopeKernel<T, kVec, kInterleaved>, dim3(NumBlocks(a.num_rows, sizes.rows_per_block)), dim3(kThreads),
                table, cuda.stream, sizes, a.position_ids, a.inv_freq);
}

template <class T>
RocitCudaStatus RotateOf(const RocitRopeArgs& a, const RocitCuda& cuda) {
  constexpr int kWide = kWidest<T>;
  const int64_t turned = a.interleaved ? a.rotary_dim : a.rotary_dim / 2;
  bool is_wide = turned % kWide == 0 && a.head_dim % kWide == 0;
  for (int t = 0; t < a.num_tensors; ++t) {
    const RocitRopeTensor& own = a.tensors[t];
    is_wide = is_wide && IsAligned16<T>(own.x, own.x_stride) && IsAligned16<T>(own.y, own.y_stride);
  }
  if (a.interleaved) return is_wide ? Rotate<T, kWide, true>(a, cuda) : Rotate<T, 1, true>(a, cuda);
  return is_wide ? Rotate<T, kWide, false>(a, cuda) : Rotate<T, 1, false>(a, cuda);
}

}  // namespace
}  // namespace rocit

RocitCudaStatus rocit_rope_cuda(const RocitRopeArgs* args, const RocitCuda* cuda) {
  return args->dtype == ROCIT_BFLOAT16 ? rocit::RotateOf<rocit::Bf16>(*args, *cuda) : rocit::RotateOf<float>(*args, *cuda);
}
