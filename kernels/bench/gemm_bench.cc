// gemm on the layers of SmolLM2-135M, forward (x Wᵀ) and input gradient (dy W), against libraries that are loaded when
// their files are named, ROCIT_BENCH_DNNL=<libdnnl.so> (oneDNN) and ROCIT_BENCH_OPENBLAS=<libscipy_openblas.so>, with as
// many threads as OMP_NUM_THREADS and OPENBLAS_NUM_THREADS say; without them against a large product of our own.
#include "cases/gemm.h"

#include <dlfcn.h>

#include "bench.h"

namespace {

using namespace gemm;

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

  std::function<void()> Product(Tensors<cases::OnHost>* t) const {
    const Case& s = t->k;
    const int type = s.dtype == ROCIT_FLOAT32 ? 3 : 2;
    void* memories[3];
    void* descs[3];
    const int64_t dims[3][2] = {{s.m, s.k}, {s.k, s.n}, {s.m, s.n}};
    const int64_t strides[3][2] = {{s.k, 1}, {s.b_transposed ? 1 : s.n, s.b_transposed ? s.k : 1}, {s.n, 1}};
    void* data[3] = {t->a.data(), t->b.data(), t->c.data()};
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

double Operations(const Case& k) { return 2.0 * static_cast<double>(k.m * k.n * k.k); }

// "forward 192x576, 256 rows": out by in.
std::string Name(const Case& k) {
  const int64_t out = k.b_transposed ? k.n : k.k, in = k.b_transposed ? k.k : k.n;
  return (k.b_transposed ? "forward " : "dx ") + std::to_string(out) + "x" + std::to_string(in) + ", " +
         std::to_string(k.m) + " rows";
}

void Bench(const Case& k, const RocitParallel& parallel, const Dnnl& dnnl, Sgemm* openblas) {
  const Inputs in(k);
  Tensors<cases::OnHost> t(k, in);
  const RocitGemmArgs args = t.Args();
  rocit_gemm(&args, &parallel);
  CompareWithTwin(k, Twin(k, in), t.Read(), k.Name());
  bench::StopIfWrong();
  const bench::Label label = {"gemm", bench::DtypeName(k.dtype), Name(k)};
  const bench::Work own = {"gemm", Operations(k), [&] { rocit_gemm(&args, &parallel); }};
  if (dnnl.is_there()) bench::Compare(label, "GFLOP/s", own, {"oneDNN", Operations(k), dnnl.Product(&t)});
  if (openblas != nullptr && k.dtype == ROCIT_FLOAT32) {
    const int m = static_cast<int>(k.m), n = static_cast<int>(k.n), depth = static_cast<int>(k.k);
    bench::Compare(label, "GFLOP/s", own, {"OpenBLAS", Operations(k), [&] {
      openblas(101, 111, k.b_transposed ? 112 : 111, m, n, depth, 1, cases::Floats(t.a), depth, cases::Floats(t.b),
               k.b_transposed ? depth : n, 0, cases::Floats(t.c), n);
    }});
  }
  if (dnnl.is_there() || openblas != nullptr) return;
  const Case large = {k.dtype, k.dtype, 2016, 1536, 576, false, true, 0, 0};
  Tensors<cases::OnHost> of_large(large, Inputs(large));
  const RocitGemmArgs large_args = of_large.Args();
  bench::Compare(label, "GFLOP/s", own,
                 {"large product", Operations(large), [&] { rocit_gemm(&large_args, &parallel); }});
}

}  // namespace

int main() {
  bench::Pool pool;
  const RocitParallel parallel = pool.contract();
  const Dnnl dnnl;
  Sgemm* const openblas = Symbol<Sgemm>(Open("ROCIT_BENCH_OPENBLAS"), "scipy_cblas_sgemm");
  for (const RocitDtype dtype : {ROCIT_FLOAT32, ROCIT_BFLOAT16}) {
    for (const Case& k : TimedCases(dtype).host) Bench(k, parallel, dnnl, openblas);
  }
  return 0;
}
