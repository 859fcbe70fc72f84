// tree_attention against the matrix product of a projection. Rates count the visible area only: a pack of short
// sequences that falls below a long one pays for what is masked.
#include "tree_attention.h"

#include <cmath>

#include "bench.h"
#include "gemm.h"
#include "reference/tree_attention.h"

namespace {

using check::Values;

struct Setting {
  int64_t sequences, length, heads, key_heads, size, query_start;

  int64_t keys() const { return sequences * length; }
  int64_t queries() const { return keys() - query_start; }
  std::string Name() const {
    return std::to_string(sequences) + "x" + std::to_string(length) + " " + std::to_string(heads) + "/" +
           std::to_string(key_heads) + " of " + std::to_string(size) + (query_start > 0 ? ", one query" : "");
  }
  std::vector<int32_t> Ends() const {
    std::vector<int32_t> ends(keys());
    for (int64_t i = 0; i < keys(); ++i) ends[i] = static_cast<int32_t>((i / length + 1) * length);
    return ends;
  }
  // Operations of one product over the visible area.
  double Product() const {
    double area = 0;
    for (int64_t i = query_start; i < keys(); ++i) area += static_cast<double>(i % length + 1);
    return 2 * area * static_cast<double>(heads * size);
  }
};

struct Tensors {
  Setting setting;
  std::vector<int32_t> ends;
  Values q, k, v, dout, out, dq, dk, dv;
  std::vector<float> lse;
  std::vector<uint8_t> workspace;

  Tensors(RocitDtype dtype, const Setting& s) : Tensors(dtype, s, check::Random(1)) {}
  RocitTreeAttentionInputs In() {
    const Setting& s = setting;
    return {q.dtype, s.queries(), s.keys(), s.heads, s.key_heads, s.size, s.query_start,
            1 / std::sqrt(static_cast<float>(s.size)), ends.data(), q.data(), k.data(), v.data()};
  }
  void Forward(const RocitParallel& parallel) {
    const RocitTreeAttentionArgs args = {In(), out.data(), lse.data()};
    rocit_tree_attention(&args, &parallel);
  }
  void Backward(const RocitParallel& parallel) {
    const RocitTreeAttentionGradArgs args = {In(), dout.data(), out.data(), lse.data(), dq.data(), dk.data(), dv.data(),
                                             workspace.data()};
    rocit_tree_attention_grad(&args, &parallel);
  }

 private:
  Tensors(RocitDtype dtype, const Setting& s, check::Random random)
      : setting(s), ends(s.Ends()), q(check::RandomValues(dtype, s.queries() * s.heads * s.size, &random)),
        k(check::RandomValues(dtype, s.keys() * s.key_heads * s.size, &random)),
        v(check::RandomValues(dtype, s.keys() * s.key_heads * s.size, &random)), dout(q), out(q), dq(q), dk(k), dv(k),
        lse(s.queries() * s.heads) {
    const RocitTreeAttentionInputs in = In();
    workspace.resize(rocit_tree_attention_grad_workspace(&in));
  }
};

void CheckValues(RocitDtype dtype, const RocitParallel& parallel) {
  Tensors t(dtype, {2, 100, 6, 2, 64, 0});
  t.Forward(parallel);
  t.Backward(parallel);
  const reference::Attention twin = {200, 200, 6, 2, 64, 0, 0.125, t.ends, t.q.Doubles(), t.k.Doubles(), t.v.Doubles()};
  std::vector<double> out, lse, dq, dk, dv;
  twin.Forward(&out, &lse);
  twin.Backward(t.dout.Doubles(), &dq, &dk, &dv);
  const double bound = dtype == ROCIT_FLOAT32 ? 4e-6 : 4 * 0x1p-9;
  const auto is_near = [&](const Values& got, const std::vector<double>& expected, const char* name) {
    check::That(check::Error(got.Doubles(), expected) <= bound, std::string("tree_attention ") + name);
  };
  is_near(t.out, out, "out");
  is_near(t.dq, dq, "dq");
  is_near(t.dk, dk, "dk");
  is_near(t.dv, dv, "dv");
  bench::StopIfWrong();
}

// The product of a projection as large as the model's.
struct Gemm {
  static constexpr int64_t kRows = 2048, kDepth = 576, kColumns = 1536;
  Values a, b, c;

  explicit Gemm(RocitDtype dtype) : Gemm(dtype, check::Random(2)) {}
  void Run(const RocitParallel& parallel) {
    const RocitGemmArgs args = {a.dtype,  a.dtype, kRows,  kColumns, kDepth, a.data(), b.data(),
                                c.data(), kDepth,  kDepth, kColumns, 0,      1,        0};
    rocit_gemm(&args, &parallel);
  }
  double operations() const { return 2.0 * kRows * kDepth * kColumns; }

 private:
  Gemm(RocitDtype dtype, check::Random random)
      : a(check::RandomValues(dtype, kRows * kDepth, &random)), b(check::RandomValues(dtype, kColumns * kDepth, &random)),
        c(dtype, kRows * kColumns) {}
};

void Bench(RocitDtype dtype, const Setting& s, const RocitParallel& parallel) {
  Tensors t(dtype, s);
  Gemm gemm(dtype);
  const bench::Work baseline = {"gemm", gemm.operations(), [&] { gemm.Run(parallel); }};
  const char* name = bench::DtypeName(dtype);
  const auto row = [&](const char* op, double products, const std::function<void()>& run) {
    bench::Compare({op, name, s.Name()}, "GFLOP/s", {op, products * s.Product(), run}, baseline);
  };
  row("tree_attention", 2, [&] { t.Forward(parallel); });
  if (s.query_start > 0) return;
  row("tree_attention grad", 5, [&] { t.Backward(parallel); });
  row("tree_attention both", 7, [&] {
    t.Forward(parallel);
    t.Backward(parallel);
  });
}

}  // namespace

int main() {
  bench::Pool pool;
  const RocitParallel parallel = pool.contract();
  for (const RocitDtype dtype : {ROCIT_FLOAT32, ROCIT_BFLOAT16}) {
    CheckValues(dtype, parallel);
    for (const Setting& s : {Setting{1, 2048, 9, 3, 64, 0}, {16, 128, 9, 3, 64, 0}, {1, 1024, 32, 2, 128, 0},
                             {1, 2048, 9, 3, 64, 2047}}) {
      Bench(dtype, s, parallel);
    }
  }
}
