// Switching stacks: sixteen instructions on x86-64, ucontext elsewhere. The sanitizers are told of every switch.
#include "fiber.h"

#include <sys/mman.h>
#include <ucontext.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

#if ROCIT_FIND_RACES
extern "C" {
void* __tsan_get_current_fiber();
void* __tsan_create_fiber(unsigned flags);
void __tsan_switch_to_fiber(void* fiber, unsigned flags);
}
#endif

namespace rocit {
namespace emulation {
namespace {

constexpr size_t kStackSize = 256 * 1024;
constexpr size_t kGuard = 4096;

Fiber* previous = nullptr;  // the one that was switched away from last

void* NewStack() {
  void* memory = mmap(nullptr, kStackSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED || mprotect(memory, kGuard, PROT_NONE) != 0) {
    std::perror("emulator: no memory for a stack");
    std::abort();
  }
  return memory;
}

}  // namespace

void EnterFiber() {
#if defined(__SANITIZE_ADDRESS__)
  const void* bottom = nullptr;
  size_t size = 0;
  __sanitizer_finish_switch_fiber(nullptr, &bottom, &size);
  previous->bottom = const_cast<void*>(bottom);
  previous->size = size;
#endif
}

#if defined(__x86_64__)

extern "C" void rocit_switch_stack(void** from, void* to);
asm(R"(
.text
.type rocit_switch_stack, @function
rocit_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size rocit_switch_stack, . - rocit_switch_stack
)");

Fiber NewFiber(void (*entry)()) {
  Fiber fiber;
  fiber.bottom = NewStack();
  fiber.size = kStackSize;
  uintptr_t* top = reinterpret_cast<uintptr_t*>(static_cast<char*>(fiber.bottom) + kStackSize);
  top[-2] = reinterpret_cast<uintptr_t>(entry);  // where `ret` goes, on a multiple of 16 as after a call
  fiber.state = top - 8;                         // below it six registers, zero
  return fiber;
}

static void Switch(Fiber* from, Fiber* to) { rocit_switch_stack(&from->state, to->state); }

#else

Fiber NewFiber(void (*entry)()) {
  Fiber fiber;
  fiber.bottom = NewStack();
  fiber.size = kStackSize;
  ucontext_t* context = new ucontext_t;
  getcontext(context);
  context->uc_stack.ss_sp = fiber.bottom;
  context->uc_stack.ss_size = kStackSize;
  context->uc_link = nullptr;
  makecontext(context, entry, 0);
  fiber.state = context;
  return fiber;
}

static void Switch(Fiber* from, Fiber* to) {
  if (from->state == nullptr) from->state = new ucontext_t;
  swapcontext(static_cast<ucontext_t*>(from->state), static_cast<ucontext_t*>(to->state));
}

#endif

void SwitchFiber(Fiber* from, Fiber* to) {
  previous = from;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&from->fake_stack, to->bottom, to->size);
#endif
#if ROCIT_FIND_RACES
  const unsigned orders_nothing = 1;
  if (from->thread == nullptr) from->thread = __tsan_get_current_fiber();
  if (to->thread == nullptr) to->thread = __tsan_create_fiber(0);
  __tsan_switch_to_fiber(to->thread, orders_nothing);
#endif
  Switch(from, to);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(from->fake_stack, nullptr, nullptr);
#endif
}

}  // namespace emulation
}  // namespace rocit
