// read_tensor of a file in the page cache, as stored and with conversion, against one thread's read() of the same
// bytes, and against a copy in memory of as many bytes as are read and written.
#include "cases/read_tensor.h"

#include <fcntl.h>

#include "bench.h"

namespace {

using namespace read_tensor;

// The file from its beginning into memory that has been written before.
class PlainRead {
 public:
  PlainRead(const char* path, size_t bytes) : file_(open(path, O_RDONLY)), memory_(bytes) {}
  PlainRead(const PlainRead&) = delete;
  PlainRead& operator=(const PlainRead&) = delete;
  ~PlainRead() { close(file_); }
  bool Run() {
    bool is_read = lseek(file_, 0, SEEK_SET) == 0;
    for (size_t done = 0; is_read && done < memory_.size();) {
      const ssize_t got = read(file_, &memory_[done], memory_.size() - done);
      is_read = got > 0;
      done += static_cast<size_t>(std::max<ssize_t>(got, 0));
    }
    return is_read;
  }
  const std::vector<uint8_t>& memory() const { return memory_; }

 private:
  int file_;
  std::vector<uint8_t> memory_;
};

void Bench(const Case& c, bench::Pool* pool) {
  const Stored stored(c);
  const TemporaryFile file(stored.bytes);
  Values y(c.dtype, c.count);
  const RocitReadTensorArgs args = {file.path(), 0, c.count, c.source, c.dtype, 1, y.data()};
  const RocitParallel parallel = pool->contract();
  const bench::Label label = {"read_tensor", bench::DtypeName(c.dtype),
                              std::to_string(c.count) + " from " + bench::DtypeName(c.source)};
  check::That(rocit_read_tensor(&args, &parallel).status == ROCIT_READ_OK, label.shape + " is read");
  check::That(y.bytes == stored.expected.bytes, label.shape + " values");
  PlainRead plain(file.path(), stored.bytes.size());
  check::That(plain.Run() && plain.memory() == stored.bytes, label.shape + " by read()");
  bench::StopIfWrong();

  const auto run = [&] { rocit_read_tensor(&args, &parallel); };
  const double from = static_cast<double>(stored.bytes.size()), all = from + static_cast<double>(y.bytes.size());
  bench::Copy copy(all);
  bench::Compare(label, "GB/s", {"read_tensor", from, run}, {"read()", from, [&] { plain.Run(); }});
  bench::Compare(label, "GB/s", {"read_tensor", all, run}, {"copy", copy.bytes(), [&] { copy.Run(parallel); }});
}

}  // namespace

int main() {
  bench::Pool pool;
  for (const Case& c : TimedCases().host) Bench(c, &pool);
}
