// lora_linear against the bare products of its frozen weights (x Wᵀ; dy W), on the layers of SmolLM2-135M with rank 16;
// q, k, v and gate, up in one call as the model makes them. Rates count the frozen weights alone.
#include "lora_linear.h"

#include "bench.h"
#include "gemm.h"
#include "reference/lora_linear.h"

namespace {

using check::Values;

constexpr int64_t kRank = 16;
constexpr float kScaling = 2;

struct Layer {
  std::string name;
  int64_t in;
  std::vector<int64_t> outs;
};

struct Call {
  const Layer& layer;
  RocitDtype dtype;
  int64_t rows;
  Values x, dx, z;
  std::vector<Values> weights, as, bs, ys, dys, das, dbs;
  std::vector<RocitLoraProjection> projections;
  std::vector<void*> y;
  std::vector<const void*> dy;
  std::vector<float*> da, db;

  Call(const Layer& l, RocitDtype type, int64_t n)
      : layer(l), dtype(type), rows(n), x(type, 0), dx(type, n * l.in),
        z(ROCIT_FLOAT32, n * kRank * static_cast<int64_t>(l.outs.size())) {
    check::Random random(1);
    x = check::RandomValues(type, n * l.in, &random);
    for (const int64_t out : l.outs) {
      weights.push_back(check::RandomValues(type, out * l.in, &random, 0.05));
      as.push_back(check::RandomValues(ROCIT_FLOAT32, kRank * l.in, &random, 0.05));
      bs.push_back(check::RandomValues(ROCIT_FLOAT32, out * kRank, &random, 0.05));
      dys.push_back(check::RandomValues(type, n * out, &random));
      ys.emplace_back(type, n * out);
      das.emplace_back(ROCIT_FLOAT32, kRank * l.in);
      dbs.emplace_back(ROCIT_FLOAT32, out * kRank);
    }
    const auto floats = [](Values& values) { return static_cast<float*>(values.data()); };
    for (size_t p = 0; p < l.outs.size(); ++p) {
      projections.push_back({l.outs[p], kRank, weights[p].data(), nullptr, floats(as[p]), floats(bs[p]), kScaling, 0, 0});
      y.push_back(ys[p].data());
      dy.push_back(dys[p].data());
      da.push_back(floats(das[p]));
      db.push_back(floats(dbs[p]));
    }
  }
  int64_t count() const { return static_cast<int64_t>(projections.size()); }
  double flops() const {
    double total = 0;
    for (const int64_t out : layer.outs) total += 2.0 * static_cast<double>(rows * layer.in * out);
    return total;
  }
  void Forward(const RocitParallel& parallel) {
    const RocitLoraLinearArgs args = {dtype, rows, layer.in, count(), projections.data(), x.data(), y.data(),
                                      static_cast<float*>(z.data())};
    rocit_lora_linear(&args, &parallel);
  }
  void Backward(const RocitParallel& parallel) {
    const RocitLoraLinearGradArgs args = {dtype,     rows,     layer.in, count(), projections.data(), x.data(),
                                          static_cast<float*>(z.data()), dy.data(), dx.data(), da.data(), db.data()};
    rocit_lora_linear_grad(&args, &parallel);
  }
  void BareForward(const RocitParallel& parallel) {
    for (size_t p = 0; p < projections.size(); ++p) {
      const int64_t in = layer.in, out = layer.outs[p];
      const RocitGemmArgs args = {dtype, dtype, rows, out, in, x.data(), weights[p].data(), y[p], in, in, out, 0, 1, 0};
      rocit_gemm(&args, &parallel);
    }
  }
  void BareBackward(const RocitParallel& parallel) {
    for (size_t p = 0; p < projections.size(); ++p) {
      const int64_t in = layer.in, out = layer.outs[p];
      const RocitGemmArgs args = {dtype, dtype, rows, in, out, dy[p], weights[p].data(), dx.data(), out, in, in, 0, 0,
                                  p == 0 ? 0.0f : 1.0f};
      rocit_gemm(&args, &parallel);
    }
  }
};

// The first two rows of y and dx against the twin.
void CheckValues(Call* call, const RocitParallel& parallel) {
  call->Forward(parallel);
  call->Backward(parallel);
  const auto head = [](const Values& values, int64_t count) {
    const std::vector<double> all = values.Doubles();
    return std::vector<double>(all.begin(), all.begin() + count);
  };
  const int64_t in = call->layer.in;
  std::vector<double> dx(2 * in), z, da, db;
  for (size_t p = 0; p < call->projections.size(); ++p) {
    const int64_t out = call->layer.outs[p];
    const reference::LoraProjection twin = {2, in, out, kRank, head(call->x, 2 * in), call->weights[p].Doubles(), {},
                                            call->as[p].Doubles(), call->bs[p].Doubles(),
                                            std::vector<double>(2 * in, 1.0), kScaling};
    check::IsNear(Values(call->dtype, head(call->ys[p], 2 * out)), reference::LoraLinear(twin, &z), "lora_linear y");
    reference::LoraLinearGrad(twin, head(call->dys[p], 2 * out), &dx, &da, &db);
  }
  check::IsNear(Values(call->dtype, head(call->dx, 2 * in)), dx, "lora_linear dx");
  bench::StopIfWrong();
}

}  // namespace

int main() {
  bench::Pool pool;
  const RocitParallel parallel = pool.contract();
  const std::vector<Layer> layers = {
      {"q, k, v", 576, {576, 192, 192}}, {"o", 576, {576}}, {"gate, up", 576, {1536, 1536}}, {"down", 1536, {576}}};
  for (const RocitDtype dtype : {ROCIT_FLOAT32, ROCIT_BFLOAT16}) {
    for (const Layer& layer : layers) {
      for (const int64_t rows : {256, 1000, 2048}) {
        Call call(layer, dtype, rows);
        if (rows == 256) CheckValues(&call, parallel);
        const std::string shape = layer.name + ", " + std::to_string(rows) + " rows";
        bench::Compare({"lora_linear", bench::DtypeName(dtype), shape}, "GFLOP/s",
                       {"lora_linear", call.flops(), [&] { call.Forward(parallel); }},
                       {"bare products", call.flops(), [&] { call.BareForward(parallel); }});
        bench::Compare({"lora_linear_grad", bench::DtypeName(dtype), shape}, "GFLOP/s",
                       {"lora_linear_grad", call.flops(), [&] { call.Backward(parallel); }},
                       {"bare products", call.flops(), [&] { call.BareBackward(parallel); }});
      }
    }
  }
  return 0;
}
