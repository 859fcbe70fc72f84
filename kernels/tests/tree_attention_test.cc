// tree_attention forward and backward: against the float64 twin, on every vector path, with 1 to 4 threads.
#include "cases/tree_attention.h"

namespace {

using namespace tree_attention;

Outputs Run(const Case& c, const Inputs& in, int threads, int64_t grain) {
  Tensors<cases::OnHost> t(c, in);
  check::Threads pool(threads, grain);
  const RocitParallel parallel = pool.contract();
  const RocitTreeAttentionArgs forward = t.Forward();
  rocit_tree_attention(&forward, &parallel);
  std::vector<uint8_t> workspace(rocit_tree_attention_grad_workspace(&forward.in), 0xff);
  const RocitTreeAttentionGradArgs backward = t.Backward(workspace.data());
  rocit_tree_attention_grad(&backward, &parallel);
  return t.Read();
}

void TestCase(const Case& c, RocitDtype dtype) {
  const Inputs in(c, dtype);
  const Twin twin(c, in);
  Outputs fused = Run(c, in, 1, 1);
  check::OnEachPath(c.Name(dtype), [&](const std::string& name) {
    const Outputs one = Run(c, in, 1, 1000);
    twin.Compare(one, name);
    if (rocit_path() == ROCIT_AVX2) fused = one;
    const bool is_fused = rocit_path() == ROCIT_AVX512 || (rocit_path() >= ROCIT_AVX512_BF16 && dtype == ROCIT_FLOAT32);
    if (is_fused) check::That(one == fused, name + " has the bits of the AVX2 path");
    bool is_same = true;
    for (int threads = 2; threads <= 4; ++threads) is_same = is_same && Run(c, in, threads, 1) == one;
    check::That(is_same, name + " does not depend on the number of threads");
  });
}

void TestBounds() {
  const auto bad = [](const std::vector<int32_t>& ends) {
    return rocit_tree_attention_bad_bound(ends.data(), static_cast<int64_t>(ends.size()));
  };
  check::That(bad({}) == -1 && bad({1}) == -1 && bad({3, 2, 3}) == -1, "bounds that nest pass");
  check::That(bad({3, 1, 3}) == 1, "a bound before its token is found");
  check::That(bad({4, 3, 3}) == 0, "a bound beyond the keys is found");
  check::That(bad({2, 3, 3}) == 1, "a bound that does not nest is found");
  for (const Case& c : Cases()) check::That(bad(c.pack.subtree_end) == -1, c.name + " has bounds that nest");
}

// What a query does not see cannot reach it.
void TestHidden() {
  const Case c = {"hidden", Sequences({40, 90}), 2, 1, 16};
  Inputs in(c, ROCIT_FLOAT32);
  const Outputs before = Run(c, in, 1, 1);
  for (int64_t i = 0; i < 40 * 16; ++i) in.k.Set(i, 7.0 * i), in.v.Set(i, -3.0 * i);
  const Outputs after = Run(c, in, 1, 1);
  const size_t at = 40 * 2 * 16 * 4;
  check::That(std::equal(before.out.bytes.begin() + at, before.out.bytes.end(), after.out.bytes.begin() + at),
              "keys of another sequence change no bit");
}

}  // namespace

int main() {
  TestBounds();
  TestHidden();
  for (const RocitDtype dtype : {ROCIT_FLOAT32, ROCIT_BFLOAT16}) {
    for (const Case& c : Cases()) TestCase(c, dtype);
  }
  return check::Finish("tree_attention");
}
