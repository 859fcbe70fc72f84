// Device memory of a GPU. Each allocation lies between guards whose bytes are checked when it is freed.
#include <cuda_runtime_api.h>

#include <cstdlib>
#include <map>

#include "device_memory.h"

namespace device {
namespace {

constexpr size_t kGuard = 256;
constexpr int kGuardByte = 0xa5;

std::map<void*, size_t>& sizes() {
  static std::map<void*, size_t> all;
  return all;
}

void Must(cudaError_t error, const char* what) {
  if (error != cudaSuccess) check::That(false, what, cudaGetErrorString(error));
}

void CheckGuard(const char* guard, const char* which) {
  std::vector<unsigned char> bytes(kGuard);
  Must(cudaMemcpy(bytes.data(), guard, kGuard, cudaMemcpyDeviceToHost), "reading a guard");
  for (const unsigned char byte : bytes) {
    if (byte != kGuardByte) return check::That(false, std::string("nothing is written ") + which + " device memory");
  }
}

}  // namespace

void* Allocate(size_t bytes) {
  char* memory = nullptr;
  Must(cudaMalloc(reinterpret_cast<void**>(&memory), bytes + 2 * kGuard), "cudaMalloc");
  if (memory == nullptr) std::abort();
  Must(cudaMemset(memory, kGuardByte, bytes + 2 * kGuard), "cudaMemset");
  Must(cudaMemset(memory + kGuard, 0xff, bytes), "cudaMemset");
  sizes()[memory + kGuard] = bytes;
  return memory + kGuard;
}

void Free(void* memory) {
  char* const first = static_cast<char*>(memory) - kGuard;
  Must(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
  CheckGuard(first, "before");
  CheckGuard(first + kGuard + sizes()[memory], "behind");
  sizes().erase(memory);
  Must(cudaFree(first), "cudaFree");
}

void CopyIn(void* memory, const void* host, size_t bytes) {
  Must(cudaMemcpy(memory, host, bytes, cudaMemcpyHostToDevice), "copying to the device");
}

void CopyOut(void* host, const void* memory, size_t bytes) {
  Must(cudaMemcpy(host, memory, bytes, cudaMemcpyDeviceToHost), "copying from the device");
}

RocitCudaStatus Synchronize() { return static_cast<RocitCudaStatus>(cudaDeviceSynchronize()); }

std::string Describe(RocitCudaStatus status) {
  if (status >= 100000) return "cublasStatus_t " + std::to_string(status - 100000);
  return cudaGetErrorString(static_cast<cudaError_t>(status));
}

void InEachOrder(const std::function<void(const std::string& name)>& body) {
  body("first run");
  body("second run");
}

}  // namespace device
