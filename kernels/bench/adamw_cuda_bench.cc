// adamw on the device over all adapters of a model at once, against a copy of as many bytes: the gradients are read
// twice, the rest once.
#include "adamw.h"

#include <memory>
#include <numeric>

#include "cuda_bench.h"
#include "reference/adamw.h"

namespace {

struct Shape {
  int64_t layers, hidden, key_width, intermediate, rank;

  std::string Name() const {
    return std::to_string(layers) + " layers " + std::to_string(hidden) + "/" + std::to_string(key_width) + "/" +
           std::to_string(intermediate) + " r=" + std::to_string(rank);
  }
  // A [r, in] and B [out, r] of the seven linears of each layer.
  std::vector<int64_t> Sizes() const {
    const int64_t widths[][2] = {{hidden, hidden}, {hidden, key_width},    {hidden, key_width},   {hidden, hidden},
                                 {hidden, intermediate}, {hidden, intermediate}, {intermediate, hidden}};
    std::vector<int64_t> sizes;
    for (int64_t layer = 0; layer < layers; ++layer) {
      for (const auto& [in, out] : widths) sizes.insert(sizes.end(), {rank * in, rank * out});
    }
    return sizes;
  }
};

constexpr int kStep = 3;

// All tensors of a kind side by side in one allocation, as one gradient would come from the device.
struct Tensors {
  std::vector<int64_t> sizes;
  int64_t count;
  check::Values p_host, g_host, m_host, v_host;
  device::Tensor p, g, m, v, new_p, new_m, new_v;
  device::Array<float> stats{int64_t{2}};
  std::unique_ptr<device::Memory> workspace;

  explicit Tensors(const Shape& shape)
      : sizes(shape.Sizes()), count(std::accumulate(sizes.begin(), sizes.end(), int64_t{0})), p_host(Draw(1)),
        g_host(Draw(2)), m_host(Draw(3)), v_host(Draw(4, true)), p(p_host), g(g_host), m(m_host), v(v_host),
        new_p(ROCIT_FLOAT32, count), new_m(ROCIT_FLOAT32, count), new_v(ROCIT_FLOAT32, count) {}

  RocitCudaStatus Run() {
    const auto pp = Pointers(&p), gp = Pointers(&g), mp = Pointers(&m), vp = Pointers(&v);
    const auto npp = Pointers(&new_p), nmp = Pointers(&new_m), nvp = Pointers(&new_v);
    const RocitAdamwArgs args = {static_cast<int64_t>(sizes.size()), sizes.data(), pp.data(), gp.data(), mp.data(),
                                 vp.data(), npp.data(), nmp.data(), nvp.data(), 1e-2, 0.9, 0.999, 1e-8, 0.01, 1.0, 1.0,
                                 1 - std::pow(0.9, kStep), 1 - std::pow(0.999, kStep)};
    if (!workspace) workspace = std::make_unique<device::Memory>(rocit_adamw_cuda_workspace(&args));
    const RocitCuda cuda = device::Cuda(workspace->data());
    return rocit_adamw_cuda(&args, stats.data(), &cuda);
  }

  // The norm, and the first and last values of a few tensors with the gradient scaled to the norm of all.
  void CheckValues() {
    const std::vector<double> grads = g_host.Doubles();
    const double norm = reference::GradNorm({grads}, 1);
    const std::vector<float> got = stats.Read();
    check::That(std::fabs(got[0] - norm) <= 1e-5 * norm, "adamw gradient norm", std::to_string(got[0]));
    check::That(got[1] == -1, "adamw has no bad tensor", std::to_string(got[1]));
    const check::Values got_p = new_p.Read(), got_m = new_m.Read(), got_v = new_v.Read();
    std::vector<double> at_p, at_m, at_v;
    reference::Vectors g = {{}}, p = {{}}, m = {{}}, v = {{}};
    int64_t offset = 0;
    for (const int64_t size : sizes) {
      for (const int64_t i : {offset, offset + size - 1}) {
        g[0].push_back(grads[i]);
        p[0].push_back(p_host.Get(i));
        m[0].push_back(m_host.Get(i));
        v[0].push_back(v_host.Get(i));
        at_p.push_back(got_p.Get(i));
        at_m.push_back(got_m.Get(i));
        at_v.push_back(got_v.Get(i));
      }
      offset += size;
    }
    const reference::AdamwSettings settings = {1e-2, 0.9, 0.999, 1e-8, 0.01, 0, std::fmin(1, 1 / (norm + 1e-6)), kStep};
    reference::Adamw(settings, g, &p, &m, &v);
    check::IsNear({ROCIT_FLOAT32, at_p}, p[0], "adamw p");
    check::IsNear({ROCIT_FLOAT32, at_m}, m[0], "adamw m");
    check::IsNear({ROCIT_FLOAT32, at_v}, v[0], "adamw v");
  }

 private:
  check::Values Draw(uint64_t seed, bool is_positive = false) const {
    check::Random random(seed);
    check::Values values(ROCIT_FLOAT32, count);
    for (int64_t i = 0; i < count; ++i) {
      const float value = random.Next();
      values.Set(i, is_positive ? std::fabs(value) : value);
    }
    return values;
  }
  std::vector<float*> Pointers(device::Tensor* tensor) const {
    std::vector<float*> pointers;
    float* next = tensor->floats();
    for (const int64_t size : sizes) {
      pointers.push_back(next);
      next += size;
    }
    return pointers;
  }
};

}  // namespace

int main(int argc, char** argv) {
  bench::ReadArguments(argc, argv);
  for (const Shape& shape : bench::Shapes<Shape>({2, 20, 12, 36, 3}, {{32, 4096, 4096, 11008, 16}, {30, 576, 192, 1536, 16}})) {
    Tensors t(shape);
    bench::Must(t.Run(), "adamw");
    t.CheckValues();
    bench::StopIfWrongOnDevice("adamw");
    bench::AgainstDeviceCopy({"adamw", "float32", shape.Name()}, 8 * 4 * static_cast<double>(t.count), [&] { return t.Run(); });
  }
  return bench::ExitCode();
}
