// Stacks of their own that one OS thread switches between: the emulator runs each CUDA thread on one.
#ifndef ROCIT_EMULATION_FIBER_H_
#define ROCIT_EMULATION_FIBER_H_

#include <cstddef>

namespace rocit {
namespace emulation {

struct Fiber {
  void* state = nullptr;   // of the processor, while another fiber runs
  void* bottom = nullptr;  // of the stack
  size_t size = 0;
  void* fake_stack = nullptr;  // the address sanitizer's
  void* thread = nullptr;      // the thread sanitizer's
};

// A fiber that will call `entry`, which never returns. Its stack is never given back.
Fiber NewFiber(void (*entry)());

// Must come first in a fiber's entry.
void EnterFiber();

void SwitchFiber(Fiber* from, Fiber* to);

}  // namespace emulation
}  // namespace rocit

#endif  // ROCIT_EMULATION_FIBER_H_
