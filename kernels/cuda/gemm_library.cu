// cuBLASLt. Our matrices are row-major, the library's column-major: it makes c^T = b^T a^T of the same memory. What its
// heuristics answer is kept by shape. float32 products are float32 throughout (no TF32), partial sums too, and every
// chosen algorithm gives the same bits each time.
#if !ROCIT_CUDA_EMULATION

#include <map>
#include <mutex>
#include <tuple>

#include "cublas_lt.h"
#include "cuda_gemm.h"

namespace rocit {
namespace {

constexpr int64_t kWorkspaceBytes = 32 << 20;  // what the library asks for on Hopper
constexpr size_t kMostKept = 4096;             // shapes; packs differ in their rows
constexpr int kMostDevices = 64;
constexpr uint32_t kReduceInFloat32 = 2;  // CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE

RocitCudaStatus Status(cublasStatus_t status) {
  return status == CUBLAS_STATUS_SUCCESS ? 0 : 100000 + static_cast<int>(status);
}

std::mutex& Mutex() {
  static std::mutex mutex;
  return mutex;
}

// One handle a device, for the life of the process.
RocitCudaStatus HandleOf(int device, cublasLtHandle_t* handle) {
  static cublasLtHandle_t handles[kMostDevices] = {};
  if (device < 0 || device >= kMostDevices) return 100000 + static_cast<int>(CUBLAS_STATUS_NOT_INITIALIZED);
  const std::lock_guard<std::mutex> lock(Mutex());
  if (handles[device] == nullptr) {
    const cublasStatus_t status = cublasLtCreate(&handles[device]);
    if (status != CUBLAS_STATUS_SUCCESS) return Status(status);
  }
  *handle = handles[device];
  return 0;
}

// What the library wants described of a product; freed with it.
struct Description {
  cublasLtMatmulDesc_t product = nullptr;
  cublasLtMatrixLayout_t first = nullptr, second = nullptr, result = nullptr;
  cublasStatus_t status;

  explicit Description(const RocitGemmArgs& args) : status(Describe(args)) {}
  Description(const Description&) = delete;
  Description& operator=(const Description&) = delete;
  ~Description() {
    if (product != nullptr) cublasLtMatmulDescDestroy(product);
    for (const cublasLtMatrixLayout_t layout : {first, second, result}) {
      if (layout != nullptr) cublasLtMatrixLayoutDestroy(layout);
    }
  }

 private:
  static cudaDataType_t TypeOf(RocitDtype dtype) { return dtype == ROCIT_FLOAT32 ? CUDA_R_32F : CUDA_R_16BF; }

  // Memory of `rows` rows of ours is as many columns of the library's.
  static cublasStatus_t Layout(cublasLtMatrixLayout_t* layout, RocitDtype dtype, int64_t rows, int64_t columns,
                               int64_t stride) {
    // A single row may have any stride; the library wants one that holds it.
    const int64_t ld = stride < columns ? columns : stride;
    return cublasLtMatrixLayoutCreate(layout, TypeOf(dtype), static_cast<uint64_t>(columns), static_cast<uint64_t>(rows), ld);
  }

  cublasStatus_t Describe(const RocitGemmArgs& args) {
    const bool a = args.a_transposed != 0, b = args.b_transposed != 0;
    cublasStatus_t all[6] = {};
    all[0] = cublasLtMatmulDescCreate(&product, CUBLAS_COMPUTE_32F, CUDA_R_32F);
    if (all[0] != CUBLAS_STATUS_SUCCESS) return all[0];
    const cublasOperation_t of_first = b ? CUBLAS_OP_T : CUBLAS_OP_N, of_second = a ? CUBLAS_OP_T : CUBLAS_OP_N;
    all[1] = cublasLtMatmulDescSetAttribute(product, CUBLASLT_MATMUL_DESC_TRANSA, &of_first, sizeof(of_first));
    all[2] = cublasLtMatmulDescSetAttribute(product, CUBLASLT_MATMUL_DESC_TRANSB, &of_second, sizeof(of_second));
    all[3] = Layout(&first, args.dtype, b ? args.n : args.k, b ? args.k : args.n, args.b_stride);
    all[4] = Layout(&second, args.dtype, a ? args.k : args.m, a ? args.m : args.k, args.a_stride);
    all[5] = Layout(&result, args.c_dtype, args.m, args.n, args.c_stride);
    for (const cublasStatus_t one : all) {
      if (one != CUBLAS_STATUS_SUCCESS) return one;
    }
    return CUBLAS_STATUS_SUCCESS;
  }
};

// The largest power of two up to 256 that divides the address.
uint32_t AlignmentOf(const void* data) {
  const uintptr_t address = reinterpret_cast<uintptr_t>(data) | 256;
  return static_cast<uint32_t>(address & (~address + 1));
}

using Key = std::tuple<int, int, int, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int, int, bool, uint32_t, uint32_t,
                       uint32_t>;

Key KeyOf(const RocitGemmArgs& args, int device) {
  return Key(device, args.dtype, args.c_dtype, args.m, args.n, args.k, args.a_stride, args.b_stride, args.c_stride,
             args.a_transposed != 0, args.b_transposed != 0, args.beta != 0, AlignmentOf(args.a), AlignmentOf(args.b),
             AlignmentOf(args.c));
}

cublasStatus_t AskHeuristics(cublasLtHandle_t handle, const Description& description, const RocitGemmArgs& args,
                             cublasLtMatmulAlgo_t* algo) {
  cublasLtMatmulPreference_t preference = nullptr;
  cublasStatus_t status = cublasLtMatmulPreferenceCreate(&preference);
  if (status != CUBLAS_STATUS_SUCCESS) return status;
  const size_t most = kWorkspaceBytes;
  const uint32_t a = AlignmentOf(args.a), b = AlignmentOf(args.b), c = AlignmentOf(args.c);
  const struct {
    cublasLtMatmulPreferenceAttributes_t attribute;
    const void* value;
    size_t bytes;
  } wishes[] = {{CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &most, sizeof(most)},
                {CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &kReduceInFloat32, sizeof(kReduceInFloat32)},
                {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &b, sizeof(b)},
                {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &a, sizeof(a)},
                {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &c, sizeof(c)},
                {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &c, sizeof(c)}};
  for (const auto& wish : wishes) {
    if (status != CUBLAS_STATUS_SUCCESS) break;
    status = cublasLtMatmulPreferenceSetAttribute(preference, wish.attribute, wish.value, wish.bytes);
  }
  cublasLtMatmulHeuristicResult_t found = {};
  int count = 0;
  if (status == CUBLAS_STATUS_SUCCESS) {
    status = cublasLtMatmulAlgoGetHeuristic(handle, description.product, description.first, description.second,
                                            description.result, description.result, preference, 1, &found, &count);
  }
  cublasLtMatmulPreferenceDestroy(preference);
  if (status != CUBLAS_STATUS_SUCCESS) return status;
  if (count == 0 || found.state != CUBLAS_STATUS_SUCCESS) return CUBLAS_STATUS_NOT_SUPPORTED;
  *algo = found.algo;
  return CUBLAS_STATUS_SUCCESS;
}

// Refusals are not kept: they are rare and then the plain kernel takes far longer than the question.
cublasStatus_t AlgorithmOf(int device, cublasLtHandle_t handle, const Description& description, const RocitGemmArgs& args,
                           cublasLtMatmulAlgo_t* algo) {
  static std::map<Key, cublasLtMatmulAlgo_t> kept;
  const Key key = KeyOf(args, device);
  const std::lock_guard<std::mutex> lock(Mutex());
  const auto known = kept.find(key);
  if (known != kept.end()) {
    *algo = known->second;
    return CUBLAS_STATUS_SUCCESS;
  }
  const cublasStatus_t status = AskHeuristics(handle, description, args, algo);
  if (status != CUBLAS_STATUS_SUCCESS) return status;
  if (kept.size() >= kMostKept) kept.clear();
  kept.emplace(key, *algo);
  return CUBLAS_STATUS_SUCCESS;
}

}  // namespace

int64_t GemmWorkspaceBytes() { return kWorkspaceBytes; }
int64_t ChunkBytes() { return 256 << 20; }

RocitCudaStatus LibraryGemm(const RocitGemmArgs& args, const RocitCuda& cuda, void* workspace) {
  int device = 0;
  const cudaError_t error = cudaGetDevice(&device);
  if (error != cudaSuccess) return static_cast<int>(error);
  cublasLtHandle_t handle = nullptr;
  const RocitCudaStatus opened = HandleOf(device, &handle);
  if (opened != 0) return opened;
  const Description description(args);
  if (description.status != CUBLAS_STATUS_SUCCESS) return Status(description.status);
  cublasLtMatmulAlgo_t algo;
  const cublasStatus_t status = AlgorithmOf(device, handle, description, args, &algo);
  if (status == CUBLAS_STATUS_INVALID_VALUE) return kLibraryRefuses;  // so it answers to memory that is aligned to little
  if (status != CUBLAS_STATUS_SUCCESS) return Status(status);
  const float alpha = 1;
  return Status(cublasLtMatmul(handle, description.product, &alpha, args.b, description.first, args.a, description.second,
                               &args.beta, args.c, description.result, args.c, description.result, &algo, workspace,
                               kWorkspaceBytes, static_cast<cudaStream_t>(cuda.stream)));
}

}  // namespace rocit

#endif
