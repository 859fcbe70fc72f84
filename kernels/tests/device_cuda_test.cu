// What kernels stand on: exchanges between lanes, sums, tensor cores, matrix loads and asynchronous copies, each against
// loops written from the manual.
#include "device.h"

#include "check.h"
#include "device_memory.h"
#include "mma.h"

namespace {

using namespace rocit;

__global__ void LanesKernel(const int* in, int* out) {
  const int lane = static_cast<int>(threadIdx.x), value = in[lane];
  out[lane] = __shfl_xor_sync(kAllLanes, value, 5);
  out[32 + lane] = __shfl_sync(kAllLanes, value, 3);
  out[64 + lane] = __shfl_sync(kAllLanes, value, lane + 1, 8);
  out[96 + lane] = __shfl_down_sync(kAllLanes, value, 3, 16);
  out[128 + lane] = __shfl_up_sync(kAllLanes, value, 2);
  out[160 + lane] = static_cast<int>(__ballot_sync(kAllLanes, value % 3 == 0));
  out[192 + lane] = __any_sync(kAllLanes, value == in[7]) + 2 * __all_sync(kAllLanes, value == in[7]);
  // Halves of the warp meet on their own.
  out[224 + lane] = lane < 16 ? __shfl_xor_sync(0x0000ffffu, value, 15) : __shfl_xor_sync(0xffff0000u, value, 1);
}

void TestLanes() {
  std::vector<int> in(32);
  for (int i = 0; i < 32; ++i) in[i] = 7 * i + 100;
  device::Array<int> from(in), to(256);
  device::InEachOrder([&](const std::string& order) {
    device::IsDone(Launch(&LanesKernel, dim3(1), dim3(32), 0, nullptr, from.data(), to.data()), "lanes, " + order);
    const std::vector<int> out = to.Read();
    int votes = 0, wrong[8] = {};
    for (int i = 0; i < 32; ++i) votes = static_cast<int>(votes | static_cast<uint32_t>(in[i] % 3 == 0) << i);
    for (int i = 0; i < 32; ++i) {
      wrong[0] += out[i] != in[i ^ 5];
      wrong[1] += out[32 + i] != in[3];
      wrong[2] += out[64 + i] != in[i / 8 * 8 + (i + 1) % 8];
      wrong[3] += out[96 + i] != in[i % 16 + 3 < 16 ? i + 3 : i];
      wrong[4] += out[128 + i] != in[i >= 2 ? i - 2 : i];
      wrong[5] += out[160 + i] != votes;
      wrong[6] += out[192 + i] != 1;
      wrong[7] += out[224 + i] != in[i < 16 ? i ^ 15 : i ^ 1];
    }
    const char* names[] = {"xor", "one lane", "turn in eights", "down in sixteens", "up", "ballot", "any and all", "halves"};
    for (int i = 0; i < 8; ++i) check::That(wrong[i] == 0, std::string("lanes: ") + names[i] + ", " + order);
  });
}

__global__ void SumsKernel(const float* in, float* out) {
  ROCIT_SHARED float shared[32];
  const int i = static_cast<int>(threadIdx.x);
  const float once = BlockSum(in[i], shared), twice = BlockSum(2 * in[i], shared);
  out[i] = once;
  out[blockDim.x + i] = twice;
  out[2 * blockDim.x + i] = WarpMax(in[i]);
}

void TestSums() {
  for (const int threads : {32, 96, 1024}) {
    std::vector<float> in(threads);
    float total = 0;
    for (int i = 0; i < threads; ++i) total += in[i] = static_cast<float>(i * 37 % 101);
    device::Array<float> from(in), to(3 * threads);
    device::InEachOrder([&](const std::string& order) {
      const std::string name = "sums of " + std::to_string(threads) + ", " + order;
      device::IsDone(Launch(&SumsKernel, dim3(1), dim3(threads), 0, nullptr, from.data(), to.data()), name);
      const std::vector<float> out = to.Read();
      bool is_right = true;
      for (int i = 0; i < threads; ++i) {
        float most = 0;
        for (int k = i / 32 * 32; k < i / 32 * 32 + 32; ++k) most = std::fmax(most, in[k]);
        is_right = is_right && out[i] == total && out[threads + i] == 2 * total && out[2 * threads + i] == most;
      }
      check::That(is_right, name + " are everywhere");
    });
  }
}

__global__ void RoundKernel(const float* in, Bf16* out, uint32_t* pairs) {
  const int i = static_cast<int>(threadIdx.x);
  out[i] = FromFloat<Bf16>(in[i]);
  pairs[i] = Pack2(in[i], in[(i + 1) % blockDim.x]);
}

void TestRounding() {
  const std::vector<float> in = {0.0f, -0.0f, 1.0f, 1.00390625f, 1.01171875f, 1.0039063f, 3.4e38f, -3.4e38f, 1e-40f, HUGE_VALF};
  const int count = static_cast<int>(in.size());
  device::Array<float> from(in);
  device::Array<Bf16> halves(count);
  device::Array<uint32_t> pairs(count);
  device::IsDone(Launch(&RoundKernel, dim3(1), dim3(count), 0, nullptr, from.data(), halves.data(), pairs.data()), "rounding");
  const std::vector<Bf16> got = halves.Read();
  const std::vector<uint32_t> both = pairs.Read();
  for (int i = 0; i < count; ++i) {
    const uint32_t own = check::ToBfloat16(in[i]), next = check::ToBfloat16(in[(i + 1) % count]);
    check::That(got[i].bits == own, "rounding to bfloat16 of " + std::to_string(in[i]));
    check::That(both[i] == (own | next << 16), "a pair of bfloat16 from " + std::to_string(in[i]));
  }
}

// One warp: d = a b by fragments gathered as the manual says, and by matrix loads from shared memory.
__global__ void ProductKernel(const uint16_t* a, const uint16_t* b, float* d, float* by_loads) {
  ROCIT_SHARED uint16_t tile_a[16 * 24];  // rows of 48 bytes
  ROCIT_SHARED uint16_t tile_b[16 * 8];
  const int lane = static_cast<int>(threadIdx.x), group = lane / 4, in_group = lane % 4;
  uint32_t fa[4], fb[2];
  for (int i = 0; i < 4; ++i) {
    const int row = i == 0 || i == 2 ? group : group + 8, column = in_group * 2 + (i < 2 ? 0 : 8);
    fa[i] = a[row * 16 + column] | static_cast<uint32_t>(a[row * 16 + column + 1]) << 16;
  }
  for (int i = 0; i < 2; ++i) {
    const int row = in_group * 2 + (i == 0 ? 0 : 8);
    fb[i] = b[row * 8 + group] | static_cast<uint32_t>(b[(row + 1) * 8 + group]) << 16;
  }
  float sums[4] = {1, 1, 1, 1}, loaded_sums[4] = {1, 1, 1, 1};
  MmaBf16(sums, fa, fb);
  for (int i = lane; i < 256; i += 32) tile_a[i / 16 * 24 + i % 16] = a[i];
  for (int i = lane; i < 128; i += 32) tile_b[i] = b[i];
  __syncwarp();
  LoadMatrix4(fa, tile_a + lane % 16 * 24 + lane / 16 * 8);
  LoadMatrix2Transposed(fb, tile_b + lane % 16 * 8);
  MmaBf16(loaded_sums, fa, fb);
  for (int i = 0; i < 4; ++i) {
    const int place = (group + (i < 2 ? 0 : 8)) * 8 + in_group * 2 + i % 2;
    d[place] = sums[i];
    by_loads[place] = loaded_sums[i];
  }
}

void TestProduct() {
  check::Random random(1);
  const check::Values a = check::RandomValues(ROCIT_BFLOAT16, 256, &random), b = check::RandomValues(ROCIT_BFLOAT16, 128, &random);
  device::Tensor from_a(a), from_b(b), d(ROCIT_FLOAT32, 128), by_loads(ROCIT_FLOAT32, 128);
  const auto halves = [](device::Tensor& t) { return static_cast<const uint16_t*>(t.data()); };
  std::vector<double> expected(128);
  for (int r = 0; r < 16; ++r) {
    for (int c = 0; c < 8; ++c) {
      double sum = 1;
      for (int k = 0; k < 16; ++k) sum += a.Get(r * 16 + k) * b.Get(k * 8 + c);
      expected[r * 8 + c] = sum;
    }
  }
  device::InEachOrder([&](const std::string& order) {
    device::IsDone(Launch(&ProductKernel, dim3(1), dim3(32), 0, nullptr, halves(from_a), halves(from_b), d.floats(),
                          by_loads.floats()),
                   "a tensor core product, " + order);
    check::IsNear(d.Read(), expected, "a tensor core product is a b, " + order);
    check::That(by_loads.Read().bytes == d.Read().bytes, "matrix loads give its fragments, " + order);
  });
}

// Four matrices of 8 x 8 that hold their own numbers, loaded each way: out[way][i][lane].
__global__ void MatricesKernel(uint32_t* out) {
  ROCIT_SHARED uint16_t tiles[256];
  const int lane = static_cast<int>(threadIdx.x);
  for (int i = lane; i < 256; i += 32) tiles[i] = static_cast<uint16_t>(i);
  __syncwarp();
  uint32_t four[4], two[2];
  LoadMatrix4(four, tiles + lane * 8);
  for (int i = 0; i < 4; ++i) out[i * 32 + lane] = four[i];
  LoadMatrix4Transposed(four, tiles + lane * 8);
  for (int i = 0; i < 4; ++i) out[128 + i * 32 + lane] = four[i];
  LoadMatrix2(two, tiles + lane % 16 * 8);
  for (int i = 0; i < 2; ++i) out[256 + i * 32 + lane] = two[i];
  LoadMatrix2Transposed(two, tiles + lane % 16 * 8);
  for (int i = 0; i < 2; ++i) out[320 + i * 32 + lane] = two[i];
}

void TestMatrices() {
  device::Array<uint32_t> to(384);
  device::IsDone(Launch(&MatricesKernel, dim3(1), dim3(32), 0, nullptr, to.data()), "matrix loads");
  const std::vector<uint32_t> out = to.Read();
  const auto pair = [](int low, int high) { return static_cast<uint32_t>(low | high << 16); };
  int wrong[4] = {};
  for (int i = 0; i < 4; ++i) {
    for (int lane = 0; lane < 32; ++lane) {
      const int r = lane / 4, c = lane % 4 * 2, start = 64 * i;
      const uint32_t plain = pair(start + r * 8 + c, start + r * 8 + c + 1);
      const uint32_t transposed = pair(start + c * 8 + r, start + (c + 1) * 8 + r);
      wrong[0] += out[i * 32 + lane] != plain;
      wrong[1] += out[128 + i * 32 + lane] != transposed;
      if (i >= 2) continue;
      wrong[2] += out[256 + i * 32 + lane] != plain;
      wrong[3] += out[320 + i * 32 + lane] != transposed;
    }
  }
  const char* names[] = {"four", "four, transposed", "two", "two, transposed"};
  for (int i = 0; i < 4; ++i) check::That(wrong[i] == 0, std::string("matrix loads of ") + names[i]);
}

// Two groups of copies, the second with a piece that is not valid; dynamic shared memory above 48 KiB.
__global__ void CopiesKernel(const float* in, float* out) {
  float* shared = DynamicShared<float>() + 15 * 1024;
  const int i = static_cast<int>(threadIdx.x), count = static_cast<int>(blockDim.x);
  CopyAsync16(shared + 4 * i, in + 4 * i, true);
  CopyAsyncCommit();
  CopyAsync16(shared + 4 * (count + i), in + 4 * (count + i), i != 3);
  CopyAsyncCommit();
  CopyAsyncWait<1>();
  __syncthreads();
  for (int k = 0; k < 4; ++k) out[4 * i + k] = shared[4 * count - 1 - (4 * i + k)];
  CopyAsyncWait<0>();
  __syncthreads();
  for (int k = 0; k < 4; ++k) out[4 * (count + i) + k] = shared[8 * count - 1 - (4 * i + k)];
}

void TestCopies() {
  const int threads = 64;
  std::vector<float> in(8 * threads);
  for (size_t i = 0; i < in.size(); ++i) in[i] = static_cast<float>(i + 1);
  device::Array<float> from(in), to(8 * threads);
  const size_t bytes = (15 * 1024 + 8 * threads) * sizeof(float);
  device::InEachOrder([&](const std::string& order) {
    device::IsDone(Launch(&CopiesKernel, dim3(1), dim3(threads), bytes, nullptr, from.data(), to.data()), "copies, " + order);
    const std::vector<float> out = to.Read();
    int wrong = 0;
    for (int i = 0; i < 4 * threads; ++i) {
      const int second = 8 * threads - 1 - i;
      wrong += out[i] != in[4 * threads - 1 - i];
      wrong += out[4 * threads + i] != (second / 4 == threads + 3 ? 0 : in[second]);
    }
    check::That(wrong == 0, "copies arrive by their wait, zeros where not valid, " + order, std::to_string(wrong) + " others");
  });
}

__global__ void NothingKernel(int) {}

void TestLaunches() {
  check::That(Launch(&NothingKernel, dim3(0), dim3(32), 0, nullptr, 1) == 0, "a grid without blocks is no launch");
  check::That(Launch(&NothingKernel, dim3(1), dim3(1025), 0, nullptr, 1) != 0, "1025 threads are refused");
  check::That(Launch(&NothingKernel, dim3(1, 65536), dim3(1), 0, nullptr, 1) != 0, "65536 blocks in y are refused");
  check::That(Launch(&NothingKernel, dim3(NumBlocks(int64_t{1} << 40, 2)), dim3(1), 0, nullptr, 1) != 0,
              "more blocks than there can be are refused");
  check::That(Launch(&NothingKernel, dim3(1), dim3(32), 1 << 20, nullptr, 1) != 0, "1 MiB of shared memory is refused");
  cudaGetLastError();
}

}  // namespace

int main() {
  TestLanes();
  TestSums();
  TestRounding();
  TestProduct();
  TestMatrices();
  TestCopies();
  TestLaunches();
  return check::Finish("device_cuda");
}
