// tree_attention against the matrix product of a projection. Rates count the visible area only: a pack of short
// sequences that falls below a long one pays for what is masked.
#include "cases/tree_attention.h"

#include "bench.h"
#include "cases/gemm.h"

namespace {

using namespace tree_attention;

void Bench(const Case& c, RocitDtype dtype, const RocitParallel& parallel) {
  const Inputs in(c, dtype);
  Tensors<cases::OnHost> t(c, in);
  const RocitTreeAttentionArgs forward = t.Forward();
  std::vector<uint8_t> workspace(rocit_tree_attention_grad_workspace(&forward.in));
  const RocitTreeAttentionGradArgs backward = t.Backward(workspace.data());
  const auto run = [&] { rocit_tree_attention(&forward, &parallel); };
  const auto run_back = [&] { rocit_tree_attention_grad(&backward, &parallel); };
  run();
  run_back();
  Twin(c, in).Compare(t.Read(), c.Name(dtype), LongBounds());
  bench::StopIfWrong();

  // The product of a projection as large as the model's.
  const gemm::Case projection = {dtype, dtype, 2048, 1536, 576, false, true, 0, 0};
  gemm::Tensors<cases::OnHost> of_gemm(projection, gemm::Inputs(projection));
  const RocitGemmArgs product = of_gemm.Args();
  const bench::Work baseline = {"gemm", 2.0 * 2048 * 1536 * 576, [&] { rocit_gemm(&product, &parallel); }};
  const std::string shape = c.Shape() + (c.query_start > 0 ? ", one query" : "");
  const auto row = [&](const char* op, double products, const std::function<void()>& work) {
    bench::Compare({op, bench::DtypeName(dtype), shape}, "GFLOP/s", {op, 2 * products * c.Product(), work}, baseline);
  };
  row("tree_attention", 2, run);
  if (c.query_start > 0) return;
  row("tree_attention grad", 5, run_back);
  row("tree_attention both", 7, [&] {
    run();
    run_back();
  });
}

}  // namespace

int main() {
  bench::Pool pool;
  const RocitParallel parallel = pool.contract();
  for (const RocitDtype dtype : {ROCIT_FLOAT32, ROCIT_BFLOAT16}) {
    for (const Case& c : TimedCases(dtype).host) Bench(c, dtype, parallel);
  }
}
