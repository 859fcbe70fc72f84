// lora_linear on the device, rank 16 on all projections of one input, against the bare products of the frozen weights
// by cuBLASLt: forward y = x W^T of each, backward dx = sum of dy W.
#include "lora_linear.h"

#include <deque>
#include <memory>

#include "cuda_bench.h"
#include "gemm_on_device.h"

namespace {

using bench::Drawn;
using check::Values;

constexpr float kScaling = 2;

struct Shape {
  int64_t rows, in, rank;
  std::vector<int64_t> outs;

  std::string Name() const {
    std::string name = std::to_string(rows) + "x" + std::to_string(in) + " to ";
    for (const int64_t& out : outs) name += (&out == &outs[0] ? "" : ",") + std::to_string(out);
    return name + " r=" + std::to_string(rank);
  }
  // Operations of the frozen weights, and those of the adapters in one direction forward.
  double Frozen() const { return 2.0 * static_cast<double>(rows) * static_cast<double>(in) * Width(); }
  double Adapters() const {
    return 2.0 * static_cast<double>(rows * rank) * (static_cast<double>(in * Count()) + Width());
  }
  int64_t Count() const { return static_cast<int64_t>(outs.size()); }

 private:
  double Width() const {
    double width = 0;
    for (const int64_t out : outs) width += static_cast<double>(out);
    return width;
  }
};

struct Tensors {
  Shape shape;
  RocitDtype dtype;
  Drawn x;
  device::Tensor dx, z;
  std::deque<Drawn> weight, a, b, dy;
  std::deque<device::Tensor> y, da, db;
  std::vector<RocitLoraProjection> projections;
  std::vector<void*> y_pointers;
  std::vector<const void*> dy_pointers;
  std::vector<float*> da_pointers, db_pointers;
  std::unique_ptr<device::Memory> workspace;

  Tensors(RocitDtype type, const Shape& s)
      : shape(s), dtype(type), x(type, s.rows * s.in, 1), dx(type, s.rows * s.in),
        z(ROCIT_FLOAT32, s.rows * s.rank * s.Count()) {
    for (const int64_t out : s.outs) {
      const uint64_t seed = 10 * (weight.size() + 1);
      weight.emplace_back(type, out * s.in, seed, 0.1);
      a.emplace_back(ROCIT_FLOAT32, s.rank * s.in, seed + 1, 0.1);
      b.emplace_back(ROCIT_FLOAT32, out * s.rank, seed + 2, 0.1);
      dy.emplace_back(type, s.rows * out, seed + 3);
      y.emplace_back(type, s.rows * out);
      da.emplace_back(ROCIT_FLOAT32, s.rank * s.in);
      db.emplace_back(ROCIT_FLOAT32, out * s.rank);
      projections.push_back({out, s.rank, weight.back().data(), nullptr, a.back().floats(), b.back().floats(), kScaling, 0, 0});
      y_pointers.push_back(y.back().data());
      dy_pointers.push_back(dy.back().data());
      da_pointers.push_back(da.back().floats());
      db_pointers.push_back(db.back().floats());
    }
    const RocitLoraLinearArgs forward = ForwardArgs();
    const RocitLoraLinearGradArgs backward = BackwardArgs();
    workspace = std::make_unique<device::Memory>(
        std::max(rocit_lora_linear_cuda_workspace(&forward), rocit_lora_linear_grad_cuda_workspace(&backward)));
  }

  RocitCudaStatus Forward() {
    const RocitLoraLinearArgs args = ForwardArgs();
    const RocitCuda cuda = device::Cuda(workspace->data());
    return rocit_lora_linear_cuda(&args, &cuda);
  }
  RocitCudaStatus Backward() {
    const RocitLoraLinearGradArgs args = BackwardArgs();
    const RocitCuda cuda = device::Cuda(workspace->data());
    return rocit_lora_linear_grad_cuda(&args, &cuda);
  }

  // A few elements of each result; of the adapters' gradients those of the last projection and the last rank.
  void CheckValues() {
    const size_t last = projections.size() - 1;
    const int64_t out = shape.outs[last];
    const Values got_y = y[last].Read(), got_dx = dx.Read(), got_da = da[last].Read(), got_db = db[last].Read();
    std::vector<double> y_twin, y_own, dx_twin, dx_own, da_twin, da_own, db_twin, db_own;
    for (const int64_t row : {int64_t{0}, shape.rows / 2, shape.rows - 1}) {
      const std::vector<double> z_row = Z(last, row);
      for (int64_t i = 0; i < 8; ++i) {
        const int64_t o = i * (out - 1) / 7, c = i * (shape.in - 1) / 7;
        y_twin.push_back(Y(last, row, o, z_row));
        y_own.push_back(got_y.Get(row * out + o));
        dx_twin.push_back(Dx(row, c));
        dx_own.push_back(got_dx.Get(row * shape.in + c));
      }
    }
    const std::vector<double> dz_column = DzColumn(last, shape.rank - 1), z_column = ZColumn(last, shape.rank - 1);
    for (int64_t i = 0; i < 8; ++i) {
      const int64_t o = i * (out - 1) / 7, c = i * (shape.in - 1) / 7;
      double of_a = 0, of_b = 0;
      for (int64_t n = 0; n < shape.rows; ++n) {
        of_a += dz_column[n] * x.host.Get(n * shape.in + c);
        of_b += kScaling * dy[last].host.Get(n * out + o) * z_column[n];
      }
      da_twin.push_back(of_a);
      da_own.push_back(got_da.Get((shape.rank - 1) * shape.in + c));
      db_twin.push_back(of_b);
      db_own.push_back(got_db.Get(o * shape.rank + shape.rank - 1));
    }
    IsNear(y_own, y_twin, "y");
    IsNear(dx_own, dx_twin, "dx");
    IsNear(da_own, da_twin, "da");
    IsNear(db_own, db_twin, "db");
  }

  // The bare products of the same direction.
  std::vector<std::unique_ptr<bench::Product>> Products(bool is_forward) {
    std::vector<std::unique_ptr<bench::Product>> products;
    for (size_t p = 0; p < projections.size(); ++p) {
      const int64_t out = shape.outs[p], n = shape.rows, in = shape.in;
      RocitGemmArgs args = {dtype, dtype, n, out, in, x.data(), weight[p].data(), y[p].data(), in, in, out, 0, 1, 0};
      if (!is_forward) {
        args = {dtype, dtype, n, in, out, dy[p].data(), weight[p].data(), dx.data(), out, in, in, 0, 0, p > 0 ? 1.0f : 0.0f};
      }
      products.push_back(std::make_unique<bench::Product>(args));
    }
    return products;
  }

 private:
  RocitLoraLinearArgs ForwardArgs() {
    return {dtype, shape.rows, shape.in, shape.Count(), projections.data(), x.data(), y_pointers.data(), z.floats()};
  }
  RocitLoraLinearGradArgs BackwardArgs() {
    return {dtype, shape.rows, shape.in, shape.Count(), projections.data(), x.data(), z.floats(), dy_pointers.data(),
            dx.data(), da_pointers.data(), db_pointers.data()};
  }

  // float32: sums of up to 30,000 addends in another order. bfloat16: results and adapters are rounded.
  void IsNear(const std::vector<double>& own, const std::vector<double>& twin, const char* name) const {
    const double error = check::Error(own, twin), bound = dtype == ROCIT_FLOAT32 ? 1e-5 : 2 * 0x1p-8;
    check::That(error <= bound, "lora_linear " + shape.Name() + " " + name, "error " + std::to_string(error));
  }
  double ZOf(size_t p, int64_t row, int64_t r) const {
    double sum = 0;
    for (int64_t i = 0; i < shape.in; ++i) sum += x.host.Get(row * shape.in + i) * a[p].host.Get(r * shape.in + i);
    return sum;
  }
  double DzOf(size_t p, int64_t row, int64_t r) const {
    double sum = 0;
    const int64_t out = shape.outs[p];
    for (int64_t o = 0; o < out; ++o) sum += dy[p].host.Get(row * out + o) * b[p].host.Get(o * shape.rank + r);
    return kScaling * sum;
  }
  std::vector<double> Z(size_t p, int64_t row) const {
    std::vector<double> z_row;
    for (int64_t r = 0; r < shape.rank; ++r) z_row.push_back(ZOf(p, row, r));
    return z_row;
  }
  std::vector<double> ZColumn(size_t p, int64_t r) const {
    std::vector<double> column;
    for (int64_t n = 0; n < shape.rows; ++n) column.push_back(ZOf(p, n, r));
    return column;
  }
  std::vector<double> DzColumn(size_t p, int64_t r) const {
    std::vector<double> column;
    for (int64_t n = 0; n < shape.rows; ++n) column.push_back(DzOf(p, n, r));
    return column;
  }
  double Y(size_t p, int64_t row, int64_t o, const std::vector<double>& z_row) const {
    double sum = 0;
    for (int64_t i = 0; i < shape.in; ++i) sum += x.host.Get(row * shape.in + i) * weight[p].host.Get(o * shape.in + i);
    for (int64_t r = 0; r < shape.rank; ++r) sum += kScaling * z_row[r] * b[p].host.Get(o * shape.rank + r);
    return sum;
  }
  double Dx(int64_t row, int64_t c) const {
    double sum = 0;
    for (size_t p = 0; p < projections.size(); ++p) {
      const int64_t out = shape.outs[p];
      for (int64_t o = 0; o < out; ++o) sum += dy[p].host.Get(row * out + o) * weight[p].host.Get(o * shape.in + c);
      for (int64_t r = 0; r < shape.rank; ++r) sum += DzOf(p, row, r) * a[p].host.Get(r * shape.in + c);
    }
    return sum;
  }
};

void Bench(RocitDtype dtype, const Shape& shape) {
  Tensors t(dtype, shape);
  bench::Must(t.Forward(), "lora_linear");
  bench::Must(t.Backward(), "lora_linear grad");
  t.CheckValues();
  bench::StopIfWrongOnDevice("lora_linear");
  for (const bool is_forward : {true, false}) {
    const auto products = t.Products(is_forward);
    const auto bare = [&] {
      RocitCudaStatus status = 0;
      for (const auto& product : products) status = status != 0 ? status : product->Run();
      return status;
    };
    const double operations = shape.Frozen() + (is_forward ? 1 : 2) * shape.Adapters();
    const char* op = is_forward ? "lora_linear" : "lora_linear grad";
    bench::CompareOnDevice({op, bench::DtypeName(dtype), shape.Name()}, "TFLOP/s", operations,
                           {op, [&] { return is_forward ? t.Forward() : t.Backward(); }}, {"bare gemm", bare});
  }
}

}  // namespace

int main(int argc, char** argv) {
  bench::ReadArguments(argc, argv);
  const std::vector<Shape> shapes = bench::Shapes<Shape>({9, 33, 4, {20, 7}}, {{4096, 4096, 16, {4096, 4096, 4096}},
                                                                              {4096, 4096, 16, {11008, 11008}},
                                                                              {4096, 11008, 16, {4096}},
                                                                              {2048, 576, 16, {576, 192, 192}},
                                                                              {2048, 576, 16, {1536, 1536}}});
  for (const Shape& shape : shapes) {
    Bench(ROCIT_BFLOAT16, shape);
    if (shape.in < 1000) Bench(ROCIT_FLOAT32, shape);
  }
  return bench::ExitCode();
}
