// tree_attention on the device: causal sequences, short ones side by side, a role tree. Rates count the visible area
// only. The baseline is one product of as many operations by cuBLASLt; PyTorch's kernels are joined by gpu_check.sh.
#include "tree_attention.h"

#include <memory>

#include "cuda_bench.h"
#include "gemm_on_device.h"
#include "packs.h"
#include "reference/tree_attention.h"

namespace {

using bench::Drawn;
using bench::Pack;
using check::Values;

struct Shape {
  int64_t heads, key_heads, size;
  std::vector<Pack> packs;

  std::string Name(const Pack& pack) const {
    return pack.name + " " + std::to_string(heads) + "/" + std::to_string(key_heads) + " of " + std::to_string(size);
  }
};

// One query head and its key head in float64.
struct Head {
  const Pack& pack;
  int64_t size;
  double scale;
  std::vector<double> q, k, v, dout;

  const double* Row(const std::vector<double>& values, int64_t row) const { return &values[row * size]; }
  double Dot(const double* a, const double* b) const {
    double sum = 0;
    for (int64_t d = 0; d < size; ++d) sum += a[d] * b[d];
    return sum;
  }
  // The twin of one query with the keys that it sees.
  reference::Attention Twin(int64_t query) const {
    std::vector<double> keys, values;
    int64_t seen = 0;
    for (int64_t j = 0; j <= query; ++j) {
      if (query >= pack.subtree_end[j]) continue;
      seen += 1;
      keys.insert(keys.end(), Row(k, j), Row(k, j) + size);
      values.insert(values.end(), Row(v, j), Row(v, j) + size);
    }
    return {1, seen, 1, 1, size, seen - 1, scale, std::vector<int32_t>(seen, static_cast<int32_t>(seen)),
            std::vector<double>(Row(q, query), Row(q, query) + size), keys, values};
  }
  // Adds what this head gives to the gradients of one key: dk = scale sum p (dout . v - dout . out) q, dv = sum p dout.
  void AddKeyGradients(int64_t key, std::vector<double>* dk, std::vector<double>* dv) const {
    std::vector<double> out, lse;
    for (int64_t query = key; query < pack.subtree_end[key]; ++query) {
      Twin(query).Forward(&out, &lse);
      const double weight = std::exp(scale * Dot(Row(q, query), Row(k, key)) - lse[0]);
      const double slope = scale * weight * (Dot(Row(dout, query), Row(v, key)) - Dot(Row(dout, query), out.data()));
      for (int64_t d = 0; d < size; ++d) {
        (*dk)[d] += slope * Row(q, query)[d];
        (*dv)[d] += weight * Row(dout, query)[d];
      }
    }
  }
};

struct Tensors {
  const Shape& shape;
  const Pack& pack;
  Drawn q, k, v, dout;
  device::Tensor out, dq, dk, dv;
  device::Array<float> lse;
  device::Array<int32_t> subtree_end;
  std::unique_ptr<device::Memory> workspace;

  Tensors(RocitDtype dtype, const Shape& s, const Pack& p)
      : shape(s), pack(p), q(dtype, p.size() * s.heads * s.size, 1), k(dtype, p.size() * s.key_heads * s.size, 2),
        v(dtype, p.size() * s.key_heads * s.size, 3), dout(dtype, p.size() * s.heads * s.size, 4),
        out(dtype, p.size() * s.heads * s.size), dq(dtype, p.size() * s.heads * s.size),
        dk(dtype, p.size() * s.key_heads * s.size), dv(dtype, p.size() * s.key_heads * s.size), lse(p.size() * s.heads),
        subtree_end(p.subtree_end) {
    const RocitTreeAttentionInputs in = In();
    workspace = std::make_unique<device::Memory>(
        std::max(rocit_tree_attention_cuda_workspace(&in), rocit_tree_attention_grad_cuda_workspace(&in)));
  }

  RocitTreeAttentionInputs In() {
    return {q.host.dtype, pack.size(), pack.size(), shape.heads, shape.key_heads, shape.size, 0,
            1 / std::sqrt(static_cast<float>(shape.size)), subtree_end.data(), q.data(), k.data(), v.data()};
  }
  RocitCudaStatus Forward() {
    const RocitTreeAttentionArgs args = {In(), out.data(), lse.data()};
    const RocitCuda cuda = device::Cuda(workspace->data());
    return rocit_tree_attention_cuda(&args, &cuda);
  }
  RocitCudaStatus Backward() {
    const RocitTreeAttentionGradArgs args = {In(), dout.data(), out.data(), lse.data(), dq.data(), dk.data(), dv.data(),
                                             nullptr};
    const RocitCuda cuda = device::Cuda(workspace->data());
    return rocit_tree_attention_grad_cuda(&args, &cuda);
  }

  // The last head of three queries, and the first key head of three keys over all queries that see them.
  void CheckValues() {
    const int64_t last = pack.size() - 1, group = shape.heads / shape.key_heads;
    std::vector<double> own[4], twin[4], one, lse, dk_row, dv_row;
    const Head head = At(shape.heads - 1);
    const Values got_out = out.Read(), got_dq = dq.Read(), got_dk = dk.Read(), got_dv = dv.Read();
    for (const int64_t query : {int64_t{1}, last / 2, last}) {
      const reference::Attention row = head.Twin(query);
      row.Forward(&one, &lse);
      Add(&own[0], got_out, query * shape.heads + shape.heads - 1, &twin[0], one);
      row.Backward(std::vector<double>(head.Row(head.dout, query), head.Row(head.dout, query + 1)), &one, &dk_row, &dv_row);
      Add(&own[1], got_dq, query * shape.heads + shape.heads - 1, &twin[1], one);
    }
    for (const int64_t key : {int64_t{0}, last * 3 / 4, last - 1}) {
      dk_row.assign(shape.size, 0);
      dv_row.assign(shape.size, 0);
      for (int64_t h = 0; h < group; ++h) At(h).AddKeyGradients(key, &dk_row, &dv_row);
      Add(&own[2], got_dk, key * shape.key_heads, &twin[2], dk_row);
      Add(&own[3], got_dv, key * shape.key_heads, &twin[3], dv_row);
    }
    // float32: sums over thousands of keys, the exponentials' own error. bfloat16: p and ds are rounded before they are summed.
    const double bound = q.host.dtype == ROCIT_FLOAT32 ? 1e-5 : 4 * 0x1p-9;
    const char* const names[] = {"out", "dq", "dk", "dv"};
    for (int i = 0; i < 4; ++i) {
      const double error = check::Error(own[i], twin[i]);
      check::That(error <= bound, "tree_attention " + shape.Name(pack) + " " + names[i], "error " + std::to_string(error));
    }
  }

 private:
  void Add(std::vector<double>* own, const Values& got, int64_t row, std::vector<double>* twin,
           const std::vector<double>& expected) const {
    const std::vector<double> part = bench::Slice(got, row * shape.size, shape.size).Doubles();
    own->insert(own->end(), part.begin(), part.end());
    twin->insert(twin->end(), expected.begin(), expected.end());
  }
  Head At(int64_t head) const {
    const int64_t key_head = head / (shape.heads / shape.key_heads);
    const auto of = [&](const Values& values, int64_t heads, int64_t at) {
      std::vector<double> rows;
      for (int64_t n = 0; n < pack.size(); ++n) {
        for (int64_t d = 0; d < shape.size; ++d) rows.push_back(values.Get((n * heads + at) * shape.size + d));
      }
      return rows;
    };
    return {pack, shape.size, 1 / std::sqrt(static_cast<float>(shape.size)), of(q.host, shape.heads, head),
            of(k.host, shape.key_heads, key_head), of(v.host, shape.key_heads, key_head), of(dout.host, shape.heads, head)};
  }
};

void Bench(RocitDtype dtype, const Shape& shape, const Pack& pack) {
  Tensors t(dtype, shape, pack);
  bench::Must(t.Forward(), "tree_attention");
  bench::Must(t.Backward(), "tree_attention grad");
  t.CheckValues();
  bench::StopIfWrongOnDevice("tree_attention");
  const double product = 2 * pack.Visible() * static_cast<double>(shape.heads * shape.size);
  bench::SquareProduct baseline(dtype, bench::kIsEmulated ? 16 : 4096);
  const auto row = [&](const char* op, double operations, const std::function<RocitCudaStatus()>& run) {
    bench::CompareOnDevice({op, bench::DtypeName(dtype), shape.Name(pack)}, "TFLOP/s", operations, {op, run},
                           {"gemm", [&] { return baseline.Run(); }, operations / baseline.operations()});
  };
  row("tree_attention", 2 * product, [&] { return t.Forward(); });
  row("tree_attention grad", 5 * product, [&] { return t.Backward(); });
}

}  // namespace

int main(int argc, char** argv) {
  bench::ReadArguments(argc, argv);
  const Shape tiny = {4, 2, 16, {bench::RoleTree(2, 7, 2, 3, 2, 4)}};
  const Shape llama = {32, 32, 128, {bench::Sequences(1, 4096), bench::Sequences(16, 256), bench::RoleTree(4, 184, 10, 24, 3, 20)}};
  const Shape smollm = {9, 3, 64, {bench::Sequences(1, 2048), bench::Sequences(16, 128), bench::RoleTree(2, 184, 10, 24, 3, 20)}};
  for (const Shape& shape : bench::Shapes<Shape>(tiny, {llama, smollm})) {
    for (const Pack& pack : shape.packs) {
      Bench(ROCIT_BFLOAT16, shape, pack);
      if (bench::kIsEmulated || shape.heads == smollm.heads) Bench(ROCIT_FLOAT32, shape, pack);
    }
  }
  return bench::ExitCode();
}
