// embedding on the device: rows are copied byte for byte, aligned or not; ids outside of the table touch no memory.
#include "embedding.h"

#include "device_memory.h"

namespace {

using check::Values;

Values Gather(int64_t vocab, int64_t hidden, const Values& weight, const std::vector<int32_t>& ids, int64_t shift) {
  device::Tensor table(weight, shift), y(weight.dtype, static_cast<int64_t>(ids.size()) * hidden, shift);
  device::Array<int32_t> numbers(ids);
  const RocitCuda cuda = device::Cuda();
  const RocitEmbeddingArgs args = {weight.dtype, vocab, hidden, static_cast<int64_t>(ids.size()), table.data(), numbers.data(),
                                   y.data()};
  device::IsDone(rocit_embedding_cuda(&args, &cuda), "embedding of " + std::to_string(ids.size()) + " ids");
  return y.Read();
}

void TestRows(RocitDtype dtype, int64_t vocab, int64_t hidden, const std::vector<int32_t>& ids) {
  check::Random random(vocab + hidden);
  const Values weight = check::RandomValues(dtype, vocab * hidden, &random);
  const std::string name = std::string("embedding ") + (dtype == ROCIT_FLOAT32 ? "float32 " : "bfloat16 ") +
                           std::to_string(ids.size()) + " of " + std::to_string(vocab) + "x" + std::to_string(hidden);
  for (const int64_t shift : {0, 1}) {
    device::InEachOrder([&](const std::string& order) {
      const Values y = Gather(vocab, hidden, weight, ids, shift);
      bool is_same = true;
      for (size_t n = 0; n < ids.size(); ++n) {
        for (int64_t c = 0; c < hidden; ++c) {
          is_same = is_same && y.Get(static_cast<int64_t>(n) * hidden + c) == weight.Get(ids[n] * hidden + c);
        }
      }
      check::That(is_same, name + " copies rows" + (shift > 0 ? ", not aligned, " : ", ") + order);
    });
  }
}

void TestOutside(RocitDtype dtype, int64_t hidden) {
  const std::vector<int32_t> ids = {4, 5, -1, 2147483647, -2147483647 - 1, 0};
  check::Random random(hidden);
  const Values weight = check::RandomValues(dtype, 5 * hidden, &random), y = Gather(5, hidden, weight, ids, 0);
  bool is_nan = true, is_same = true;
  for (int64_t i = 0; i < y.size(); ++i) {
    const int32_t id = ids[i / hidden];
    if (id < 0 || id >= 5) is_nan = is_nan && std::isnan(y.Get(i));
    else is_same = is_same && y.Get(i) == weight.Get(id * hidden + i % hidden);
  }
  check::That(is_nan, "embedding gives NaN for ids outside of " + std::to_string(hidden) + " columns");
  check::That(is_same, "embedding gives the rows of the others");
}

}  // namespace

int main() {
  for (const RocitDtype dtype : {ROCIT_FLOAT32, ROCIT_BFLOAT16}) {
    TestRows(dtype, 11, 123, {4, 0, 4, 10, 3});
    TestRows(dtype, 1, 1, {0});
    TestRows(dtype, 5, 8, {});
    TestRows(dtype, 3, 576, {2, 2, 2, 0, 1, 1, 0, 2, 1});
    TestRows(dtype, 3, 4096, {2, 0});
    TestRows(dtype, 4, 0, {1, 2});
    TestOutside(dtype, 3);
    TestOutside(dtype, 64);
  }
  return check::Finish("embedding_cuda");
}
