// Bare products on the device, by cuBLASLt (in the emulator a plain loop), as the baseline of what multiplies matrices.
#ifndef ROCIT_BENCH_GEMM_ON_DEVICE_H_
#define ROCIT_BENCH_GEMM_ON_DEVICE_H_

#include "cuda_bench.h"
#include "gemm.h"

namespace bench {

// A product of the contract with its workspace.
class Product {
 public:
  explicit Product(const RocitGemmArgs& args) : args_(args), workspace_(rocit_gemm_cuda_workspace(&args)) {}
  double operations() const {
    return 2 * static_cast<double>(args_.m) * static_cast<double>(args_.n) * static_cast<double>(args_.k);
  }
  RocitCudaStatus Run() {
    const RocitCuda cuda = device::Cuda(workspace_.data());
    return rocit_gemm_cuda(&args_, &cuda);
  }

 private:
  RocitGemmArgs args_;
  device::Memory workspace_;
};

// [size, size] by [size, size], b transposed as a weight is.
class SquareProduct {
 public:
  SquareProduct(RocitDtype dtype, int64_t size) : SquareProduct(dtype, size, check::Random(1)) {}
  double operations() const { return product_.operations(); }
  RocitCudaStatus Run() { return product_.Run(); }

 private:
  SquareProduct(RocitDtype dtype, int64_t size, check::Random random)
      : a_(check::RandomValues(dtype, size * size, &random)), b_(check::RandomValues(dtype, size * size, &random)),
        c_(dtype, size * size),
        product_({dtype, dtype, size, size, size, a_.data(), b_.data(), c_.data(), size, size, size, 0, 1, 0}) {}

  device::Tensor a_, b_, c_;
  Product product_;
};

}  // namespace bench

#endif  // ROCIT_BENCH_GEMM_ON_DEVICE_H_
