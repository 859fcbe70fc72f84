// read_tensor to the device: the cases through few bytes of staging memory, and staging memory of odd sizes.
#include "cases/read_tensor.h"
#include "device_memory.h"

namespace {

using namespace read_tensor;

constexpr int64_t kStaging = 1 << 16;

RocitReadResult ReadBy(int64_t staging_bytes, const Request& r) {
  check::Threads pool(r.threads);
  const RocitParallel parallel = pool.contract();
  device::Tensor y(r.y->dtype, r.y->size());
  const RocitReadTensorArgs args = {r.path, r.offset, r.count, r.source, r.y->dtype, r.check_finite, y.data()};
  const RocitCuda cuda = device::Cuda();
  std::vector<char> staging(staging_bytes);
  const RocitReadResult result = rocit_read_tensor_cuda(&args, staging.data(), staging_bytes, &parallel, &cuda);
  *r.y = y.Read();
  return result;
}

RocitReadResult ReadToDevice(const Request& r) { return ReadBy(kStaging, r); }

// Halves that a tensor fills exactly, just not, and of a single value.
void TestStaging() {
  std::vector<uint16_t> halves(301);
  for (size_t i = 0; i < halves.size(); ++i) halves[i] = static_cast<uint16_t>(i * 7919 & 0x3fff);
  const TemporaryFile file(Bytes(halves));
  for (const int64_t staging : {8, 15, 2400, 2408, 2416, 800}) {
    for (const int64_t count : {1, 100, 300, 301}) {
      Values y(ROCIT_FLOAT32, count);
      const RocitReadResult result = ReadBy(staging, {file.path(), 0, count, ROCIT_BFLOAT16, &y, true});
      int64_t wrong = 0;
      for (int64_t i = 0; i < count; ++i) wrong += y.Get(i) != check::FromBfloat16(halves[i]);
      check::That(result.status == ROCIT_READ_OK && wrong == 0,
                  "read_tensor of " + std::to_string(count) + " through " + std::to_string(staging) + " bytes",
                  std::to_string(wrong));
    }
  }
}

}  // namespace

int main() {
  TestEveryFloat16(&ReadToDevice, "read_tensor float16");
  TestFloat32Rounding(&ReadToDevice, "read_tensor float32");
  TestPlaces(&ReadToDevice, "read_tensor");
  TestErrors(&ReadToDevice, "read_tensor");
  TestStaging();
  return check::Finish("read_tensor_cuda");
}
