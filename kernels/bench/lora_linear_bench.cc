// lora_linear against the bare products of its frozen weights (x Wᵀ; dy W), on the layers of SmolLM2-135M with rank 16;
// q, k, v and gate, up in one call as the model makes them. Rates count the frozen weights alone.
#include "cases/lora_linear.h"

#include "bench.h"
#include "gemm.h"

namespace {

using namespace lora_linear;

// Into the tensors of the operation itself.
void BareForward(Tensors<cases::OnHost>* t, const RocitParallel& parallel) {
  for (size_t p = 0; p < t->projections.size(); ++p) {
    const int64_t in = t->c.in, out = t->c.parts[p].out;
    const RocitGemmArgs args = {t->dtype,     t->dtype, t->c.rows, out, in, t->x.data(), t->weight[p].data(),
                                t->y_data[p], in,       in,        out, 0,  1,           0};
    rocit_gemm(&args, &parallel);
  }
}

void BareBackward(Tensors<cases::OnHost>* t, const RocitParallel& parallel) {
  for (size_t p = 0; p < t->projections.size(); ++p) {
    const int64_t in = t->c.in, out = t->c.parts[p].out;
    const RocitGemmArgs args = {t->dtype,     t->dtype, t->c.rows, in, out, t->dy_data[p], t->weight[p].data(),
                                t->dx.data(), out,      in,        in, 0,   0,             p == 0 ? 0.0f : 1.0f};
    rocit_gemm(&args, &parallel);
  }
}

void Bench(const Case& c, RocitDtype dtype, const RocitParallel& parallel) {
  const Inputs in(c, dtype);
  Tensors<cases::OnHost> t(c, in);
  const RocitLoraLinearArgs forward = t.Forward();
  const RocitLoraLinearGradArgs backward = t.Backward();
  const auto run = [&] { rocit_lora_linear(&forward, &parallel); };
  const auto run_back = [&] { rocit_lora_linear_grad(&backward, &parallel); };
  run();
  run_back();
  const std::string shape = std::string(c.title) + ", " + std::to_string(c.rows) + " rows";
  CompareWithTwin(c, Twin(c, in), t.Read(), std::string("lora_linear ") + bench::DtypeName(dtype) + " " + shape);
  bench::StopIfWrong();
  const double frozen = 2.0 * static_cast<double>(c.rows * c.in * c.OutWidth());
  bench::Compare({"lora_linear", bench::DtypeName(dtype), shape}, "GFLOP/s", {"lora_linear", frozen, run},
                 {"bare products", frozen, [&] { BareForward(&t, parallel); }});
  bench::Compare({"lora_linear_grad", bench::DtypeName(dtype), shape}, "GFLOP/s",
                 {"lora_linear_grad", frozen, run_back}, {"bare products", frozen, [&] { BareBackward(&t, parallel); }});
}

}  // namespace

int main() {
  bench::Pool pool;
  const RocitParallel parallel = pool.contract();
  for (const RocitDtype dtype : {ROCIT_FLOAT32, ROCIT_BFLOAT16}) {
    for (const Case& c : TimedCases(dtype).host) Bench(c, dtype, parallel);
  }
  return 0;
}
