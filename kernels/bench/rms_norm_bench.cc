// rms_norm with residual, forward and backward, against a copy of as many bytes.
#include "rms_norm.h"

#include "bench.h"
#include "reference/rms_norm.h"

namespace {

using check::Values;

struct Tensors {
  int64_t rows, columns;
  Values x, residual, weight, y, sum, rstd, dy, dsum, dx;

  Tensors(RocitDtype dtype, int64_t n, int64_t c) : Tensors(dtype, n, c, check::Random(1)) {}

  RocitRmsNormArgs Forward() {
    return {y.dtype, rows, columns, 1e-5f, x.data(), residual.data(), weight.data(), y.data(), sum.data(), Scales()};
  }
  RocitRmsNormGradArgs Backward() {
    return {y.dtype, rows, columns, dy.data(), dsum.data(), sum.data(), weight.data(), Scales(), dx.data()};
  }

 private:
  Tensors(RocitDtype dtype, int64_t n, int64_t c, check::Random random)
      : rows(n), columns(c), x(check::RandomValues(dtype, n * c, &random)),
        residual(check::RandomValues(dtype, n * c, &random)), weight(check::RandomValues(dtype, c, &random)), y(dtype, n * c),
        sum(dtype, n * c), rstd(ROCIT_FLOAT32, n), dy(check::RandomValues(dtype, n * c, &random)),
        dsum(check::RandomValues(dtype, n * c, &random)), dx(dtype, n * c) {}
  float* Scales() { return static_cast<float*>(rstd.data()); }
};

// The first row alone: the twin's gradient takes the square of the columns.
void CheckValues(const Tensors& t) {
  const auto row = [&](const Values& values) {
    const std::vector<double> all = values.Doubles();
    return std::vector<double>(all.begin(), all.begin() + t.columns);
  };
  std::vector<double> rstd(1);
  const std::vector<double> y = reference::RmsNorm(row(t.sum), t.weight.Doubles(), 1e-5, &rstd);
  check::IsNear(Values(t.y.dtype, row(t.y)), y, "rms_norm y");
  const std::vector<double> dx = reference::RmsNormGrad(row(t.dy), row(t.dsum), row(t.sum), t.weight.Doubles(), rstd);
  check::IsNear(Values(t.y.dtype, row(t.dx)), dx, "rms_norm dx");
  bench::StopIfWrong();
}

}  // namespace

int main() {
  bench::Pool pool;
  const RocitParallel parallel = pool.contract();
  for (const RocitDtype dtype : {ROCIT_FLOAT32, ROCIT_BFLOAT16}) {
    for (const auto& [rows, columns] : {std::pair<int64_t, int64_t>{2048, 576}, {4096, 4096}}) {
      Tensors t(dtype, rows, columns);
      const RocitRmsNormArgs forward = t.Forward();
      const RocitRmsNormGradArgs backward = t.Backward();
      rocit_rms_norm(&forward, &parallel);
      rocit_rms_norm_grad(&backward, &parallel);
      CheckValues(t);
      const std::string shape = std::to_string(rows) + "x" + std::to_string(columns);
      const double bytes = static_cast<double>(t.y.bytes.size());
      bench::AgainstCopy({"rms_norm", bench::DtypeName(dtype), shape}, 4 * bytes, &pool,
                         [&] { rocit_rms_norm(&forward, &parallel); });
      bench::AgainstCopy({"rms_norm grad", bench::DtypeName(dtype), shape}, 4 * bytes, &pool,
                         [&] { rocit_rms_norm_grad(&backward, &parallel); });
    }
  }
}
