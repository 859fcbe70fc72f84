// Cases of read_tensor for every implementation: every float16 pattern, all pairs of dtypes, odd offsets and sizes, and
// each way a file can be wrong; the whole tensors that benches read.
#ifndef ROCIT_TESTS_CASES_READ_TENSOR_H_
#define ROCIT_TESTS_CASES_READ_TENSOR_H_

#include <read_tensor.h>  // the contract: this file bears its name
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <functional>

#include "cases/timed.h"
#include "check.h"
#include "reference/read_tensor.h"

namespace read_tensor {

using check::Values;

// What to read; the values go to `y`, whose dtype and size say which and how many.
struct Request {
  const char* path;
  int64_t offset, count;
  RocitDtype source;
  Values* y;
  bool check_finite;
  int threads = 2;
};

using Read = std::function<RocitReadResult(const Request& request)>;

// A file that is gone at the end.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::vector<uint8_t>& bytes) {
    const char* folder = std::getenv("TMPDIR");
    path_ = std::string(folder == nullptr ? "/tmp" : folder) + "/rocit_read_tensor_XXXXXX";
    const int file = mkstemp(path_.data());
    const bool is_written = file >= 0 && write(file, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size());
    if (!is_written) std::abort();
    close(file);
  }
  ~TemporaryFile() { unlink(path_.c_str()); }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  const char* path() const { return path_.c_str(); }

 private:
  std::string path_;
};

inline std::vector<uint8_t> Bytes(const std::vector<uint16_t>& halves) {
  std::vector<uint8_t> bytes(halves.size() * 2);
  std::memcpy(bytes.data(), halves.data(), bytes.size());
  return bytes;
}

inline bool SameValue(double a, double b) {
  return std::isnan(a) ? std::isnan(b) : a == b && std::signbit(a) == std::signbit(b);
}

inline void TestEveryFloat16(const Read& read, const std::string& name) {
  std::vector<uint16_t> patterns(65536);
  for (int i = 0; i < 65536; ++i) patterns[i] = static_cast<uint16_t>(i);
  const TemporaryFile file(Bytes(patterns));
  for (const RocitDtype dtype : {ROCIT_FLOAT32, ROCIT_BFLOAT16}) {
    Values y(dtype, 65536);
    const RocitReadResult result = read({file.path(), 0, 65536, ROCIT_FLOAT16, &y, false});
    int64_t wrong = 0;
    for (int i = 0; i < 65536; ++i) {
      const double exact = reference::FromFloat16(patterns[i]);
      wrong += !SameValue(y.Get(i), dtype == ROCIT_FLOAT32 ? exact : check::FromBfloat16(check::ToBfloat16(exact)));
    }
    check::That(result.status == ROCIT_READ_OK && wrong == 0, name + " converts every pattern", std::to_string(wrong));
  }
}

// Values around every rounding boundary: random upper halves with lower halves near 0, the middle, and the end.
inline std::vector<uint32_t> RoundingPatterns() {
  check::Random random(5);
  std::vector<uint32_t> patterns;
  for (int i = 0; i < 20000; ++i) {
    for (const uint32_t low : {0x0000u, 0x0001u, 0x7fffu, 0x8000u, 0x8001u, 0xffffu}) {
      patterns.push_back((static_cast<uint32_t>(random.Bits()) << 16) | low);
    }
  }
  return patterns;
}

inline void TestFloat32Rounding(const Read& read, const std::string& name) {
  const std::vector<uint32_t> patterns = RoundingPatterns();
  std::vector<uint8_t> bytes(patterns.size() * 4);
  std::memcpy(bytes.data(), patterns.data(), bytes.size());
  const TemporaryFile file(bytes);
  const int64_t count = static_cast<int64_t>(patterns.size());
  Values narrow(ROCIT_BFLOAT16, count), same(ROCIT_FLOAT32, count);
  read({file.path(), 0, count, ROCIT_FLOAT32, &narrow, false});
  read({file.path(), 0, count, ROCIT_FLOAT32, &same, false});
  check::That(same.bytes == bytes, name + " keeps the bytes of float32");
  int64_t wrong = 0;
  for (int64_t i = 0; i < count; ++i) {
    wrong += !SameValue(narrow.Get(i), check::FromBfloat16(check::ToBfloat16(same.Get(i))));
  }
  check::That(wrong == 0, name + " rounds to the nearest even bfloat16", std::to_string(wrong));
}

inline void TestPlaces(const Read& read, const std::string& title) {
  check::Random random(3);
  std::vector<uint8_t> bytes(400001);
  for (auto& byte : bytes) byte = static_cast<uint8_t>(random.Bits() & 0x3f);  // exponents below Inf
  const TemporaryFile file(bytes);
  for (const int64_t count : {0, 1, 15, 16, 17, 5 * 123, 65535, 65536, 65537, 199999}) {
    for (const int64_t offset : {0, 1, 3}) {
      const std::string name = title + " of " + std::to_string(count) + " values at byte " + std::to_string(offset);
      Values same(ROCIT_BFLOAT16, count), wide(ROCIT_FLOAT32, count), one(ROCIT_FLOAT32, count);
      const RocitReadResult result = read({file.path(), offset, count, ROCIT_BFLOAT16, &same, true});
      check::That(result.status == ROCIT_READ_OK, name + " succeeds");
      check::That(count == 0 || std::memcmp(same.data(), bytes.data() + offset, 2 * count) == 0, name + " keeps bfloat16");
      read({file.path(), offset, count, ROCIT_BFLOAT16, &wide, true, 4});
      read({file.path(), offset, count, ROCIT_BFLOAT16, &one, true, 1});
      check::That(wide.Doubles() == same.Doubles(), name + " widens bfloat16 exactly");
      check::That(wide.bytes == one.bytes, name + " does not depend on the number of threads");
    }
  }
}

inline void TestErrors(const Read& any_read, const std::string& name) {
  std::vector<uint16_t> halves(200000, 0x3f80);
  halves[70001] = 0x7f80;   // Inf
  halves[150000] = 0xffc0;  // NaN
  const TemporaryFile file(Bytes(halves));
  Values y(ROCIT_FLOAT32, 200000);
  const auto read = [&](const char* path, int64_t offset, int64_t count) {
    return any_read({path, offset, count, ROCIT_BFLOAT16, &y, true, 4});
  };
  const RocitReadResult bad = read(file.path(), 0, 200000);
  check::That(bad.status == ROCIT_READ_NOT_FINITE && bad.bad_index == 70001, name + " names the first bad value",
              std::to_string(bad.bad_index));
  check::That(read(file.path(), 2 * 150000, 1).bad_index == 0, name + " counts from the tensor's start");
  check::That(any_read({file.path(), 0, 200000, ROCIT_BFLOAT16, &y, false}).status == ROCIT_READ_OK,
              name + " lets NaN pass unchecked");
  const RocitReadResult small = read(file.path(), 2, 200000);
  check::That(small.status == ROCIT_READ_TOO_SHORT && small.file_bytes == 400000, name + " finds a file that is too short");
  check::That(read(file.path(), INT64_MAX, 1).status == ROCIT_READ_TOO_SHORT, name + " survives an absurd offset");
  check::That(read(file.path(), 400000, 0).status == ROCIT_READ_OK, name + " reads nothing at the end");
  const RocitReadResult none = read("/nonexistent/rocit", 0, 1);
  check::That(none.status == ROCIT_READ_NO_FILE && none.system_error == ENOENT, name + " says that there is no file");
  const RocitReadResult folder = read("/tmp", 0, 1);
  check::That(folder.status == ROCIT_READ_NO_FILE && folder.system_error == EISDIR, name + " refuses a folder");
  const uint32_t large = 0x7f7fffffu;  // finite in float32, Inf in bfloat16
  std::vector<uint8_t> bytes(4);
  std::memcpy(bytes.data(), &large, 4);
  const TemporaryFile largest(bytes);
  Values narrow(ROCIT_BFLOAT16, 1);
  check::That(any_read({largest.path(), 0, 1, ROCIT_FLOAT32, &narrow, true}).status == ROCIT_READ_NOT_FINITE,
              name + " refuses a value too large for bfloat16");
}

struct Case {
  RocitDtype source, dtype;
  int64_t count;
};

inline cases::Timed<Case> TimedCases() {
  constexpr int64_t kWeight = 11008 * 4096;  // of LLaMA-7B's MLP
  const auto to_device = [](int64_t count) -> std::vector<Case> {
    return {{ROCIT_BFLOAT16, ROCIT_BFLOAT16, count}, {ROCIT_FLOAT32, ROCIT_BFLOAT16, count}};
  };
  return {{{ROCIT_FLOAT32, ROCIT_FLOAT32, kWeight},
           {ROCIT_BFLOAT16, ROCIT_BFLOAT16, kWeight},
           {ROCIT_FLOAT16, ROCIT_FLOAT32, kWeight}},
          to_device(kWeight),
          to_device(5000),
          2};
}

// What the file holds, and what is to be read from it.
struct Stored {
  std::vector<uint8_t> bytes;
  Values expected;

  explicit Stored(const Case& c) : expected(c.dtype, c.count) {
    check::Random random(1);
    if (c.source == ROCIT_FLOAT16) {
      std::vector<uint16_t> halves(c.count);
      for (int64_t i = 0; i < c.count; ++i) {
        halves[i] = static_cast<uint16_t>(random.Bits() & 0xbfff);  // finite: the exponent's first bit is clear
        expected.Set(i, reference::FromFloat16(halves[i]));
      }
      bytes = Bytes(halves);
    } else {
      const Values values = check::RandomValues(c.source, c.count, &random);
      for (int64_t i = 0; i < c.count; ++i) expected.Set(i, values.Get(i));
      bytes = values.bytes;
    }
  }
};

}  // namespace read_tensor

#endif  // ROCIT_TESTS_CASES_READ_TENSOR_H_
