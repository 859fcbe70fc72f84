// linear_cross_entropy with its input gradient against its two bare products over the rows with edges (x Wᵀ and
// dlogits W, the logits stored in between), on the head of SmolLM2-135M.
#include "cases/linear_cross_entropy.h"

#include "bench.h"
#include "gemm.h"

namespace {

using namespace linear_cross_entropy;

// x Wᵀ and dlogits W over as many rows as there are edges.
struct BareProducts {
  Case c;
  Values x, weight, logits, dx;

  BareProducts(const Case& of, const Inputs& in, check::Random random)
      : c(of), x(in.x), weight(in.weight), logits(check::RandomValues(x.dtype, c.edges() * c.vocab, &random, 0.001)),
        dx(x.dtype, c.rows * c.hidden) {}
  void Run(const RocitParallel& parallel) {
    const RocitGemmArgs forward = {x.dtype,       x.dtype,  c.edges(), c.vocab, c.hidden, x.data(), weight.data(),
                                   logits.data(), c.hidden, c.hidden,  c.vocab, 0,        1,        0};
    const RocitGemmArgs backward = {x.dtype,   x.dtype, c.edges(), c.hidden, c.vocab, logits.data(), weight.data(),
                                    dx.data(), c.vocab, c.hidden,  c.hidden, 0,       0,             0};
    rocit_gemm(&forward, &parallel);
    rocit_gemm(&backward, &parallel);
  }
};

void Bench(const Case& c, RocitDtype dtype, const RocitParallel& parallel) {
  const Inputs in(c, dtype);
  Tensors<cases::OnHost> t(c, in);
  const RocitLinearCrossEntropyArgs args = t.Args();
  const auto run = [&] { rocit_linear_cross_entropy(&args, &parallel); };
  run();
  CompareWithTwin(c, Twin(c, in), t.Read(), NameOf(c, dtype));
  bench::StopIfWrong();
  BareProducts bare(c, in, check::Random(1));
  const double operations = 4.0 * static_cast<double>(c.edges() * c.hidden * c.vocab);
  const std::string shape = std::to_string(c.edges()) + " of " + std::to_string(c.rows) + " rows";
  bench::Compare({"linear_cross_entropy", bench::DtypeName(dtype), shape}, "GFLOP/s",
                 {"linear_cross_entropy", operations, run}, {"bare products", operations, [&] { bare.Run(parallel); }});
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
