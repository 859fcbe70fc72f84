// read_tensor to the device from the page cache, as stored and with conversion, against a copy of the file's bytes from
// page-locked memory.
#include "cases/read_tensor.h"

#include "cuda_bench.h"

namespace {

using namespace read_tensor;

// Page-locked where there is a GPU.
class Staging {
 public:
  explicit Staging(size_t bytes) {
#if ROCIT_CUDA_EMULATION
    data_ = std::malloc(bytes);
#else
    bench::Must(cudaMallocHost(&data_, bytes), "cudaMallocHost");
#endif
  }
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;
  ~Staging() {
#if ROCIT_CUDA_EMULATION
    std::free(data_);
#else
    cudaFreeHost(data_);
#endif
  }
  void* data() { return data_; }

 private:
  void* data_ = nullptr;
};

constexpr size_t kStaging = 32 << 20;  // as the door takes

void Bench(const Case& c, bench::Pool* pool) {
  const Stored stored(c);
  const TemporaryFile file(stored.bytes);
  device::Tensor y(c.dtype, c.count);
  Staging staging(kStaging);
  const RocitParallel parallel = pool->contract();
  const auto run = [&]() -> RocitCudaStatus {
    const RocitReadTensorArgs args = {file.path(), 0, c.count, c.source, c.dtype, 1, y.data()};
    const RocitCuda cuda = device::Cuda();
    return rocit_read_tensor_cuda(&args, staging.data(), kStaging, &parallel, &cuda).status;
  };
  bench::Must(run(), "read_tensor");
  check::That(y.Read().bytes == stored.expected.bytes, "read_tensor values");
  bench::StopIfWrongOnDevice("read_tensor");

  const size_t bytes = stored.bytes.size(), piece = std::min<size_t>(bytes, kStaging);
  device::Memory target(bytes);
  const auto copy = [&]() -> RocitCudaStatus {
    for (size_t at = 0; at < bytes; at += piece) {
      device::CopyIn(static_cast<char*>(target.data()) + at, staging.data(), std::min(piece, bytes - at));
    }
    return 0;
  };
  const std::string shape = std::to_string(c.count) + " from " + bench::DtypeName(c.source);
  bench::CompareOnDevice({"read_tensor", bench::DtypeName(c.dtype), shape}, "GB/s", static_cast<double>(bytes),
                         {"read_tensor", run}, {"copy from host", copy});
}

}  // namespace

int main(int argc, char** argv) {
  bench::ReadArguments(argc, argv);
  bench::Pool pool;
  for (const Case& c : bench::Chosen(TimedCases())) Bench(c, &pool);
  return bench::ExitCode();
}
