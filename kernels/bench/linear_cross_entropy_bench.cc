// linear_cross_entropy with its input gradient against its two bare products over the rows with edges (x Wᵀ and
// dlogits W, the logits stored in between), on the head of SmolLM2-135M.
#include "linear_cross_entropy.h"

#include "bench.h"
#include "gemm.h"
#include "reference/linear_cross_entropy.h"

namespace {

using check::Values;

constexpr int64_t kHidden = 576, kVocab = 49152;

struct Head {
  RocitDtype dtype;
  int64_t rows;
  std::vector<int32_t> edge_rows, targets;
  std::vector<float> weights, losses;
  float loss = 0;
  Values x, weight, dx, logits;

  Head(RocitDtype type, int64_t num_rows, int64_t edges) : Head(type, num_rows, edges, check::Random(1)) {}

  int64_t edges() const { return static_cast<int64_t>(targets.size()); }
  double flops() const { return 4.0 * static_cast<double>(edges() * kHidden * kVocab); }
  void Run(const RocitParallel& parallel) {
    const RocitLinearCrossEntropyArgs args = {dtype,    rows,          kHidden,          kVocab,         edges(),
                                              x.data(), weight.data(), edge_rows.data(), targets.data(), weights.data(),
                                              &loss,    losses.data(), dx.data()};
    rocit_linear_cross_entropy(&args, &parallel);
  }
  void RunBare(const RocitParallel& parallel) {
    const RocitGemmArgs forward = {dtype,    dtype,         edges(),       kVocab,  kHidden, x.data(), weight.data(),
                                   logits.data(), kHidden, kHidden, kVocab, 0, 1, 0};
    const RocitGemmArgs backward = {dtype,         dtype,     edges(), kHidden, kVocab, logits.data(), weight.data(),
                                    dx.data(), kVocab, kHidden, kHidden, 0, 0, 0};
    rocit_gemm(&forward, &parallel);
    rocit_gemm(&backward, &parallel);
  }
  // The first edge alone.
  void CheckValues() const {
    std::vector<double> expected(rows * kHidden);
    const std::vector<double> twin = reference::LinearCrossEntropy(kHidden, kVocab, x.Doubles(), weight.Doubles(),
                                                                   {edge_rows[0]}, {targets[0]}, {weights[0]}, &expected);
    check::IsNear(Values(ROCIT_FLOAT32, std::vector<double>{losses[0]}), twin, "linear_cross_entropy loss");
    const std::vector<double> all = dx.Doubles();
    const auto first = [](const std::vector<double>& v) { return std::vector<double>(v.begin(), v.begin() + kHidden); };
    check::IsNear(Values(dtype, first(all)), first(expected), "linear_cross_entropy dx");
    bench::StopIfWrong();
  }

 private:
  Head(RocitDtype type, int64_t num_rows, int64_t edges, check::Random random)
      : dtype(type), rows(num_rows), weights(edges, 1), losses(edges),
        x(check::RandomValues(type, num_rows * kHidden, &random)),
        weight(check::RandomValues(type, kVocab * kHidden, &random, 0.1)), dx(type, num_rows * kHidden),
        logits(check::RandomValues(type, edges * kVocab, &random, 0.001)) {
    for (int64_t e = 0; e < edges; ++e) {
      edge_rows.push_back(static_cast<int32_t>(e * num_rows / edges));
      targets.push_back(static_cast<int32_t>(e * 7919 % kVocab));
    }
  }
};

}  // namespace

int main() {
  bench::Pool pool;
  const RocitParallel parallel = pool.contract();
  for (const RocitDtype dtype : {ROCIT_FLOAT32, ROCIT_BFLOAT16}) {
    for (const auto& [rows, edges] : {std::pair<int64_t, int64_t>{1000, 250}, {2048, 500}, {2048, 1000}}) {
      Head head(dtype, rows, edges);
      head.Run(parallel);
      if (edges == 250) head.CheckValues();
      const std::string shape = std::to_string(edges) + " of " + std::to_string(rows) + " rows";
      bench::Compare({"linear_cross_entropy", bench::DtypeName(dtype), shape}, "GFLOP/s",
                     {"linear_cross_entropy", head.flops(), [&] { head.Run(parallel); }},
                     {"bare products", head.flops(), [&] { head.RunBare(parallel); }});
    }
  }
  return 0;
}
