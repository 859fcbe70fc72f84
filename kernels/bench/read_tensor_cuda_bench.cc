// read_tensor to the device from the page cache, as stored and with conversion, against a copy of the file's bytes from
// page-locked memory.
#include "read_tensor.h"

#include <unistd.h>

#include <cstdio>

#include "cuda_bench.h"

namespace {

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

// A file that is gone with the program.
class File {
 public:
  explicit File(const std::vector<uint8_t>& bytes) {
    const int descriptor = mkstemp(path_);
    FILE* file = descriptor < 0 ? nullptr : fdopen(descriptor, "wb");
    const bool is_written = file != nullptr && std::fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size();
    check::That(file != nullptr && std::fclose(file) == 0 && is_written, std::string("writing ") + path_);
    bench::StopIfWrong();
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() { unlink(path_); }
  const char* path() const { return path_; }

 private:
  char path_[64] = "/tmp/rocit_read_tensor_bench_XXXXXX";
};

constexpr size_t kStaging = 32 << 20;  // as the door takes

void Bench(RocitDtype source, int64_t count, bench::Pool* pool) {
  bench::Drawn stored(source, count, 1);
  const File file(stored.host.bytes);
  device::Tensor y(ROCIT_BFLOAT16, count);
  Staging staging(kStaging);
  const RocitParallel parallel = pool->contract();
  const auto run = [&]() -> RocitCudaStatus {
    const RocitReadTensorArgs args = {file.path(), 0, count, source, ROCIT_BFLOAT16, 1, y.data()};
    const RocitCuda cuda = device::Cuda();
    return rocit_read_tensor_cuda(&args, staging.data(), kStaging, &parallel, &cuda).status;
  };
  bench::Must(run(), "read_tensor");
  check::That(y.Read().bytes == check::Values(ROCIT_BFLOAT16, stored.host.Doubles()).bytes, "read_tensor values");
  bench::StopIfWrongOnDevice("read_tensor");

  const size_t bytes = stored.host.bytes.size(), piece = std::min<size_t>(bytes, kStaging);
  device::Memory target(bytes);
  const auto copy = [&]() -> RocitCudaStatus {
    for (size_t at = 0; at < bytes; at += piece) {
      device::CopyIn(static_cast<char*>(target.data()) + at, staging.data(), std::min(piece, bytes - at));
    }
    return 0;
  };
  const std::string shape = std::to_string(count) + " from " + bench::DtypeName(source);
  bench::CompareOnDevice({"read_tensor", "bfloat16", shape}, "GB/s", static_cast<double>(bytes), {"read_tensor", run},
                         {"copy from host", copy});
}

}  // namespace

int main(int argc, char** argv) {
  bench::ReadArguments(argc, argv);
  bench::Pool pool;
  for (const int64_t count : bench::Shapes<int64_t>(5000, {11008 * 4096})) {
    for (const RocitDtype source : {ROCIT_BFLOAT16, ROCIT_FLOAT32}) Bench(source, count, &pool);
  }
  return bench::ExitCode();
}
