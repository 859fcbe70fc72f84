// adamw over all adapters of a model at once, against a copy of as many bytes: the gradients are read twice, the rest once.
#include "adamw.h"

#include <numeric>

#include "bench.h"
#include "reference/adamw.h"

namespace {

using List = std::vector<check::Values>;

// Rank 16 on the seven linears of a layer: A [16, in] and B [out, 16].
std::vector<int64_t> AdapterSizes(int64_t layers, int64_t hidden, int64_t key_width, int64_t intermediate) {
  const int64_t widths[][2] = {{hidden, hidden}, {hidden, key_width},    {hidden, key_width},   {hidden, hidden},
                               {hidden, intermediate}, {hidden, intermediate}, {intermediate, hidden}};
  std::vector<int64_t> sizes;
  for (int64_t layer = 0; layer < layers; ++layer) {
    for (const auto& [in, out] : widths) sizes.insert(sizes.end(), {16 * in, 16 * out});
  }
  return sizes;
}

List MakeList(const std::vector<int64_t>& sizes, uint64_t seed) {
  check::Random random(seed);
  List list;
  for (const int64_t size : sizes) list.push_back(check::RandomValues(ROCIT_FLOAT32, size, &random));
  for (check::Values& values : list) values.Set(0, 0.5);
  return list;
}

std::vector<float*> Pointers(List* list) {
  std::vector<float*> pointers;
  for (check::Values& values : *list) pointers.push_back(static_cast<float*>(values.data()));
  return pointers;
}

// The first element of each tensor, where p, g, m and v are 0.5, scaled to the clipped gradient.
void CheckFirst(const List& new_p, const List& grads, double grad_norm) {
  reference::Vectors all;
  for (const check::Values& values : grads) all.push_back(values.Doubles());
  const double norm = reference::GradNorm(all, 1);
  check::That(std::fabs(grad_norm - norm) <= 1e-9 * norm, "adamw gradient norm");
  reference::Vectors p = {{0.5}}, m = p, v = p;
  const reference::AdamwSettings settings = {1e-2, 0.9, 0.999, 1e-8, 0.01, 0, 1 / (norm + 1e-6), 3};
  reference::Adamw(settings, {{0.5}}, &p, &m, &v);
  for (const check::Values& values : new_p) check::That(std::fabs(values.Get(0) - p[0][0]) < 1e-6, "adamw first value");
  bench::StopIfWrong();
}

void Bench(const std::string& shape, const std::vector<int64_t>& sizes, bench::Pool* pool) {
  List p = MakeList(sizes, 1), g = MakeList(sizes, 2), m = MakeList(sizes, 3), v = MakeList(sizes, 4);
  for (check::Values& values : v) {
    for (int64_t i = 0; i < values.size(); ++i) values.Set(i, std::fabs(values.Get(i)));
  }
  List new_p = p, new_m = m, new_v = v;
  const auto pp = Pointers(&p), gp = Pointers(&g), mp = Pointers(&m), vp = Pointers(&v);
  const auto npp = Pointers(&new_p), nmp = Pointers(&new_m), nvp = Pointers(&new_v);
  const RocitAdamwArgs args = {static_cast<int64_t>(sizes.size()), sizes.data(), pp.data(), gp.data(), mp.data(), vp.data(),
                               npp.data(), nmp.data(), nvp.data(), 1e-2, 0.9, 0.999, 1e-8, 0.01, 1.0, 1.0,
                               1 - std::pow(0.9, 3), 1 - std::pow(0.999, 3)};
  const RocitParallel parallel = pool->contract();
  CheckFirst(new_p, g, rocit_adamw(&args, &parallel).grad_norm);
  const double count = static_cast<double>(std::accumulate(sizes.begin(), sizes.end(), int64_t{0}));
  bench::AgainstCopy({"adamw", "float32", shape}, 8 * 4 * count, pool, [&] { rocit_adamw(&args, &parallel); });
}

}  // namespace

int main() {
  bench::Pool pool;
  Bench("SmolLM2-135M r=16", AdapterSizes(30, 576, 192, 1536), &pool);
  Bench("LLaMA-7B r=16", AdapterSizes(32, 4096, 4096, 11008), &pool);
}
