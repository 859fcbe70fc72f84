// read_tensor on CUDA: the CPU reads and converts blocks of the file into host memory, from where the stream copies them.
// While one half of the staging memory is copied, the other is filled. Bound by the disk, or by the copy.
#include "read_tensor.h"

#include <algorithm>

#include "device.h"

namespace {

int64_t SizeOf(RocitDtype dtype) { return dtype == ROCIT_FLOAT32 ? 4 : 2; }

// Reads the last value alone, so that a file that is too short is known before any of it is copied.
RocitReadResult ReadLast(const RocitReadTensorArgs& args, void* staging, const RocitParallel* parallel) {
  RocitReadTensorArgs last = args;
  const int64_t skipped = std::max<int64_t>(args.count - 1, 0), size = SizeOf(args.source_dtype);
  last.offset = skipped > (INT64_MAX - args.offset) / size ? INT64_MAX : args.offset + skipped * size;
  last.count = args.count - skipped;
  last.check_finite = 0;
  last.y = staging;
  return rocit_read_tensor(&last, parallel);
}

RocitReadResult Failed(RocitCudaStatus status) { return {ROCIT_READ_CUDA, status, 0, -1}; }

}  // namespace

RocitReadResult rocit_read_tensor_cuda(const RocitReadTensorArgs* args, void* staging, int64_t staging_bytes,
                                       const RocitParallel* parallel, const RocitCuda* cuda) {
  const auto stream = static_cast<cudaStream_t>(cuda->stream);
  const int64_t from_size = SizeOf(args->source_dtype), to_size = SizeOf(args->dtype);
  const int64_t block = staging_bytes / 2 / to_size;
  RocitReadResult result = ReadLast(*args, staging, parallel);
  if (result.status != ROCIT_READ_OK) return result;
  for (int64_t first = 0; first < args->count; first += block) {
    RocitReadTensorArgs part = *args;
    part.offset += first * from_size;
    part.count = std::min(block, args->count - first);
    part.y = static_cast<char*>(staging) + first / block % 2 * block * to_size;
    result = rocit_read_tensor(&part, parallel);
    if (result.status == ROCIT_READ_NOT_FINITE) result.bad_index += first;
    // The other half, which was copied meanwhile, is free after this.
    const RocitCudaStatus last = static_cast<RocitCudaStatus>(cudaStreamSynchronize(stream));
    if (result.status != ROCIT_READ_OK) return result;
    if (last != 0) return Failed(last);
    char* to = static_cast<char*>(args->y) + first * to_size;
    const cudaError_t error = cudaMemcpyAsync(to, part.y, part.count * to_size, cudaMemcpyHostToDevice, stream);
    if (error != cudaSuccess) return Failed(static_cast<RocitCudaStatus>(error));
  }
  const RocitCudaStatus last = static_cast<RocitCudaStatus>(cudaStreamSynchronize(stream));
  return last == 0 ? result : Failed(last);
}
