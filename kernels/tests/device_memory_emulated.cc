// Device memory of the emulator.
#include <cstdlib>
#include <cstring>

#include "device_memory.h"
#include "emulation/block.h"

namespace device {

void* Allocate(size_t bytes) {
  void* memory = nullptr;
  if (posix_memalign(&memory, 256, bytes) != 0) std::abort();
  if (bytes > 0) std::memset(memory, 0xff, bytes);
  return memory;
}

void Free(void* memory) { std::free(memory); }

void CopyIn(void* memory, const void* host, size_t bytes) {
  if (bytes > 0) std::memcpy(memory, host, bytes);
}

void CopyOut(void* host, const void* memory, size_t bytes) {
  if (bytes > 0) std::memcpy(host, memory, bytes);
}

RocitCudaStatus Synchronize() { return 0; }

std::string Describe(RocitCudaStatus status) { return "cudaError_t " + std::to_string(status); }

void InEachOrder(const std::function<void(const std::string& name)>& body) {
  using rocit::emulation::Order;
  const struct {
    Order order;
    const char* name;
  } orders[] = {{Order::kReverse, "last thread first"}, {Order::kShuffled, "threads shuffled"}, {Order::kForward, "first thread first"}};
  for (const auto& one : orders) {
    rocit::emulation::SetOrder(one.order);
    body(one.name);
#if ROCIT_FIND_RACES
    break;  // the thread sanitizer sees what is not ordered in any order
#endif
  }
}

}  // namespace device
