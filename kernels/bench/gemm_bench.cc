// gemm on the layers of SmolLM2-135M, forward (x Wᵀ) and input gradient (dy W), against libraries that are loaded when
// their files are named, ROCIT_BENCH_DNNL=<libdnnl.so> (oneDNN) and ROCIT_BENCH_OPENBLAS=<libscipy_openblas.so>, with as
// many threads as OMP_NUM_THREADS and OPENBLAS_NUM_THREADS say; without them against a large product of our own.
#include "gemm.h"

#include <dlfcn.h>

#include "bench.h"
#include "reference/gemm.h"

namespace {

using check::Values;

struct Shape {
  int64_t m, n, k;
  bool is_forward;
  double flops() const { return 2.0 * static_cast<double>(m * n * k); }
};

template <class Function>
Function* Symbol(void* library, const char* name) {
  return reinterpret_cast<Function*>(library != nullptr ? dlsym(library, name) : nullptr);
}

// With its own symbols first, so that it never meets another copy of the library in the process.
void* Open(const char* variable) {
  const char* path = std::getenv(variable);
  if (path == nullptr) return nullptr;
  void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
  if (library == nullptr) std::printf("%s: %s\n", variable, dlerror());
  return library;
}

// oneDNN's matmul through its C interface.
class Dnnl {
 public:
  Dnnl() : library_(Open("ROCIT_BENCH_DNNL")) {
    if (library_ == nullptr) return;
    Symbol<int(void**, int, size_t)>(library_, "dnnl_engine_create")(&engine_, 1, 0);
    Symbol<int(void**, void*, unsigned)>(library_, "dnnl_stream_create")(&stream_, engine_, 1);
  }
  bool is_there() const { return library_ != nullptr; }

  std::function<void()> Product(const Shape& s, Values* a, Values* b, Values* c) const {
    const int type = a->dtype == ROCIT_FLOAT32 ? 3 : 2;
    void* memories[3];
    void* descs[3];
    const int64_t dims[3][2] = {{s.m, s.k}, {s.k, s.n}, {s.m, s.n}};
    const int64_t strides[3][2] = {{s.k, 1}, {s.is_forward ? 1 : s.n, s.is_forward ? s.k : 1}, {s.n, 1}};
    void* data[3] = {a->data(), b->data(), c->data()};
    const auto describe = Symbol<int(void**, int, const int64_t*, int, const int64_t*)>(
        library_, "dnnl_memory_desc_create_with_strides");
    const auto wrap = Symbol<int(void**, void*, void*, void*)>(library_, "dnnl_memory_create");
    for (int i = 0; i < 3; ++i) {
      describe(&descs[i], 2, dims[i], type, strides[i]);
      wrap(&memories[i], descs[i], engine_, data[i]);
    }
    void *desc = nullptr, *primitive = nullptr;
    Symbol<int(void**, void*, void*, void*, void*, void*, void*)>(library_, "dnnl_matmul_primitive_desc_create")(
        &desc, engine_, descs[0], descs[1], nullptr, descs[2], nullptr);
    Symbol<int(void**, void*)>(library_, "dnnl_primitive_create")(&primitive, desc);
    struct Argument {
      int kind;
      void* memory;
    };
    const std::vector<Argument> arguments = {{1, memories[0]}, {33, memories[1]}, {17, memories[2]}};
    const auto execute = Symbol<int(void*, void*, int, const Argument*)>(library_, "dnnl_primitive_execute");
    return [=, stream = stream_] { execute(primitive, stream, 3, arguments.data()); };
  }

 private:
  void* library_;
  void *engine_ = nullptr, *stream_ = nullptr;
};

using Sgemm = void(int, int, int, int, int, int, float, const float*, int, const float*, int, float, float*, int);

// A product with tensors of its own.
struct Product {
  Shape shape;
  Values a, b, c;
  RocitGemmArgs args;

  Product(const Shape& s, RocitDtype dtype) : Product(s, dtype, check::Random(1)) {}

  // The first two rows against the twin.
  void CheckValues(const RocitParallel& parallel) {
    rocit_gemm(&args, &parallel);
    const std::vector<double> rows = a.Doubles(), columns = b.Doubles(), all = c.Doubles();
    const std::vector<double> first(rows.begin(), rows.begin() + 2 * shape.k);
    const std::vector<double> expected = reference::Gemm(2, shape.n, shape.k, first, false, columns, shape.is_forward,
                                                         std::vector<double>(2 * shape.n));
    check::IsNear(Values(c.dtype, std::vector<double>(all.begin(), all.begin() + 2 * shape.n)), expected, "gemm");
    bench::StopIfWrong();
  }

 private:
  Product(const Shape& s, RocitDtype dtype, check::Random random)
      : shape(s), a(check::RandomValues(dtype, s.m * s.k, &random)), b(check::RandomValues(dtype, s.k * s.n, &random)),
        c(dtype, s.m * s.n),
        args({dtype, dtype, s.m, s.n, s.k, a.data(), b.data(), c.data(), s.k, s.is_forward ? s.k : s.n, s.n, 0,
              s.is_forward, 0}) {}
};

void Bench(Product* p, const std::string& name, const RocitParallel& parallel, const Dnnl& dnnl, Sgemm* openblas) {
  const double flops = p->shape.flops();
  const int m = static_cast<int>(p->shape.m), n = static_cast<int>(p->shape.n), k = static_cast<int>(p->shape.k);
  const bool is_forward = p->shape.is_forward;
  const RocitDtype dtype = p->c.dtype;
  const bench::Label label = {"gemm", bench::DtypeName(dtype), name};
  const bench::Work own = {"gemm", flops, [&] { rocit_gemm(&p->args, &parallel); }};
  if (dnnl.is_there()) {
    bench::Compare(label, "GFLOP/s", own, {"oneDNN", flops, dnnl.Product(p->shape, &p->a, &p->b, &p->c)});
  }
  if (openblas != nullptr && dtype == ROCIT_FLOAT32) {
    const auto floats = [](Values& values) { return static_cast<float*>(values.data()); };
    bench::Compare(label, "GFLOP/s", own, {"OpenBLAS", flops, [&] {
      openblas(101, 111, is_forward ? 112 : 111, m, n, k, 1, floats(p->a), k, floats(p->b), is_forward ? k : n, 0,
               floats(p->c), n);
    }});
  }
  if (dnnl.is_there() || openblas != nullptr) return;
  Product large({2016, 1536, 576, true}, dtype);
  bench::Compare(label, "GFLOP/s", own,
                 {"large product", large.shape.flops(), [&] { rocit_gemm(&large.args, &parallel); }});
}

}  // namespace

int main() {
  bench::Pool pool;
  const RocitParallel parallel = pool.contract();
  const Dnnl dnnl;
  Sgemm* const openblas = Symbol<Sgemm>(Open("ROCIT_BENCH_OPENBLAS"), "scipy_cblas_sgemm");
  const int64_t layers[][2] = {{576, 576}, {192, 576}, {1536, 576}, {576, 1536}};  // out, in
  for (const RocitDtype dtype : {ROCIT_FLOAT32, ROCIT_BFLOAT16}) {
    for (const bool is_forward : {true, false}) {
      for (const auto& [out, in] : layers) {
        for (const int64_t rows : {256, 1000, 2048}) {
          Product product({rows, is_forward ? out : in, is_forward ? in : out, is_forward}, dtype);
          if (rows == 256) product.CheckValues(parallel);
          const std::string layer = std::to_string(out) + "x" + std::to_string(in) + ", " + std::to_string(rows) + " rows";
          Bench(&product, (is_forward ? "forward " : "dx ") + layer, parallel, dnnl, openblas);
        }
      }
    }
  }
  return 0;
}
