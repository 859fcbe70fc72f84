// read_tensor on the CPU: threads read blocks of the file with pread and convert them while they are in the cache.
#include "read_tensor.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <vector>

#include "elements.h"
#include "parallel.h"

#define ROCIT_LOOPS "read_tensor_loops.h"
#include "each_path.h"

namespace {

constexpr int64_t kBlock = 1 << 16;  // values read and converted at a time

int64_t SizeOf(RocitDtype dtype) { return dtype == ROCIT_FLOAT32 ? 4 : 2; }

// The first value that is not finite, counted from `to`; there is one.
int64_t FindBad(const RocitReadTensorArgs& args, const uint8_t* to, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    uint32_t bits = 0;
    if (args.dtype == ROCIT_FLOAT32) {
      std::memcpy(&bits, to + 4 * i, 4);
    } else {
      uint16_t upper = 0;
      std::memcpy(&upper, to + 2 * i, 2);
      bits = static_cast<uint32_t>(upper) << 16;
    }
    if ((bits & 0x7f800000u) == 0x7f800000u) return i;
  }
  return count;
}

// Reads all bytes; 0, an errno, or -1 when the file ended.
int ReadFully(int file, uint8_t* to, int64_t bytes, int64_t offset) {
  while (bytes > 0) {
    const ssize_t got = pread(file, to, bytes, offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno;
    if (got == 0) return -1;
    to += got;
    bytes -= got;
    offset += got;
  }
  return 0;
}

struct Progress {
  std::atomic<int> error{0};
  std::atomic<int64_t> bad_index{INT64_MAX};
};

void LowerTo(std::atomic<int64_t>* target, int64_t value) {
  int64_t seen = target->load();
  while (value < seen && !target->compare_exchange_weak(seen, value)) {
  }
}

void ReadBlocks(const RocitReadTensorArgs& args, int file, int64_t begin, int64_t end, Progress* progress) {
  const int64_t from_size = SizeOf(args.source_dtype);
  std::vector<uint8_t> buffer(kBlock * from_size);
  for (int64_t block = begin; block < end && progress->error.load() == 0; ++block) {
    const int64_t first = block * kBlock;
    const int64_t count = std::min(kBlock, args.count - first);
    uint8_t* to = static_cast<uint8_t*>(args.y) + first * SizeOf(args.dtype);
    const bool is_same = args.source_dtype == args.dtype;
    uint8_t* landing = is_same ? to : buffer.data();
    const int error = ReadFully(file, landing, count * from_size, args.offset + first * from_size);
    if (error != 0) {
      progress->error.store(error);
      return;
    }
    if (is_same && !args.check_finite) continue;
    const bool is_finite = ROCIT_DISPATCH(Convert, args, landing, to, count);
    if (!is_finite && args.check_finite) LowerTo(&progress->bad_index, first + FindBad(args, to, count));
  }
}

RocitReadResult ReadOpened(const RocitReadTensorArgs& args, int file, const RocitParallel* parallel) {
  struct stat info;
  if (fstat(file, &info) != 0) return {ROCIT_READ_NO_FILE, errno, 0, -1};
  if (!S_ISREG(info.st_mode)) return {ROCIT_READ_NO_FILE, S_ISDIR(info.st_mode) ? EISDIR : EINVAL, 0, -1};
  const int64_t bytes = static_cast<int64_t>(info.st_size);
  const int64_t size = SizeOf(args.source_dtype);
  if (args.offset > bytes || args.count > (bytes - args.offset) / size) return {ROCIT_READ_TOO_SHORT, 0, bytes, -1};
  Progress progress;
  rocit::ParallelFor(parallel, (args.count + kBlock - 1) / kBlock, kBlock, [&](int64_t begin, int64_t end) {
    ReadBlocks(args, file, begin, end, &progress);
  });
  const int error = progress.error.load();
  if (error > 0) return {ROCIT_READ_FAILED, error, bytes, -1};
  if (error < 0) return {ROCIT_READ_TOO_SHORT, 0, bytes, -1};
  const int64_t bad = progress.bad_index.load();
  if (bad != INT64_MAX) return {ROCIT_READ_NOT_FINITE, 0, bytes, bad};
  return {ROCIT_READ_OK, 0, bytes, -1};
}

}  // namespace

RocitReadResult rocit_read_tensor(const RocitReadTensorArgs* args, const RocitParallel* parallel) {
  const int file = open(args->path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return {ROCIT_READ_NO_FILE, errno, 0, -1};
  const RocitReadResult result = ReadOpened(*args, file, parallel);
  close(file);
  return result;
}
