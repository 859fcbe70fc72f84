// What scripts/gpu_check.sh asks before it builds anything: one line, "device", name, compute capability, CUDA of driver
// and runtime, bytes of memory, multiprocessors; or "error", the code, CUDA of driver and runtime, and the runtime's words.
#include <cuda_runtime_api.h>

#include <cstdio>

namespace {

int driver = 0, runtime = 0;

int Problem(cudaError_t error) {
  std::printf("error\t%d\t%d\t%d\t%s\n", static_cast<int>(error), driver, runtime, cudaGetErrorString(error));
  return 1;
}

}  // namespace

int main() {
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&runtime);
  int count = 0;
  cudaError_t error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess) return Problem(error);
  if (count == 0) return Problem(cudaErrorNoDevice);
  cudaDeviceProp device;
  error = cudaGetDeviceProperties(&device, 0);
  if (error != cudaSuccess) return Problem(error);
  void* memory = nullptr;
  error = cudaMalloc(&memory, 1 << 20);
  if (error == cudaSuccess) error = cudaMemset(memory, 0, 1 << 20);
  if (error == cudaSuccess) error = cudaDeviceSynchronize();
  if (error != cudaSuccess) return Problem(error);
  std::printf("device\t%s\t%d%d\t%d\t%d\t%zu\t%d\n", device.name, device.major, device.minor, driver, runtime,
              device.totalGlobalMem, device.multiProcessorCount);
  return 0;
}
