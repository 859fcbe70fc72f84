// swiglu forward and backward against a copy of as many bytes.
#include "swiglu.h"

#include "bench.h"
#include "reference/swiglu.h"

namespace {

using check::Values;

struct Tensors {
  int64_t rows, size;
  Values dy, gate, up, y, d_gate, d_up;

  Tensors(RocitDtype dtype, int64_t n, int64_t f) : Tensors(dtype, n, f, check::Random(1)) {}

  RocitSwigluArgs Forward() {
    return {y.dtype, rows, size, size, size, size, gate.data(), up.data(), y.data()};
  }
  RocitSwigluGradArgs Backward() {
    return {y.dtype, rows, size, size, size, size, size, size, dy.data(), gate.data(), up.data(), d_gate.data(), d_up.data()};
  }

 private:
  Tensors(RocitDtype dtype, int64_t n, int64_t f, check::Random random)
      : rows(n), size(f), dy(check::RandomValues(dtype, n * f, &random)), gate(check::RandomValues(dtype, n * f, &random, 8)),
        up(check::RandomValues(dtype, n * f, &random)), y(dtype, n * f), d_gate(dtype, n * f), d_up(dtype, n * f) {}
};

void CheckValues(const Tensors& t) {
  std::vector<double> y, d_gate, d_up;
  for (int64_t i = 0; i < t.y.size(); ++i) {
    y.push_back(reference::Swiglu(t.gate.Get(i), t.up.Get(i)));
    d_gate.push_back(reference::SwigluGradGate(t.dy.Get(i), t.gate.Get(i), t.up.Get(i)));
    d_up.push_back(reference::SwigluGradUp(t.dy.Get(i), t.gate.Get(i)));
  }
  check::IsNear(t.y, y, "swiglu y");
  check::IsNear(t.d_gate, d_gate, "swiglu d_gate");
  check::IsNear(t.d_up, d_up, "swiglu d_up");
  bench::StopIfWrong();
}

}  // namespace

int main() {
  bench::Pool pool;
  const RocitParallel parallel = pool.contract();
  for (const RocitDtype dtype : {ROCIT_FLOAT32, ROCIT_BFLOAT16}) {
    for (const auto& [rows, size] : {std::pair<int64_t, int64_t>{2048, 1536}, {2048, 11008}}) {
      Tensors t(dtype, rows, size);
      const RocitSwigluArgs forward = t.Forward();
      const RocitSwigluGradArgs backward = t.Backward();
      rocit_swiglu(&forward, &parallel);
      rocit_swiglu_grad(&backward, &parallel);
      CheckValues(t);
      const std::string shape = std::to_string(rows) + "x" + std::to_string(size);
      const double bytes = static_cast<double>(t.y.bytes.size());
      bench::AgainstCopy({"swiglu", bench::DtypeName(dtype), shape}, 3 * bytes, &pool,
                         [&] { rocit_swiglu(&forward, &parallel); });
      bench::AgainstCopy({"swiglu grad", bench::DtypeName(dtype), shape}, 5 * bytes, &pool,
                         [&] { rocit_swiglu_grad(&backward, &parallel); });
    }
  }
}
