// A lambda over the caller's threads. Every piece runs with IEEE denormals: TensorFlow's pool flushes them and the
// calling thread does not, so results would otherwise depend on which thread took which piece.
#ifndef ROCIT_CPU_PARALLEL_H_
#define ROCIT_CPU_PARALLEL_H_

#include <cstdint>

#include "contract.h"

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace rocit {

#if defined(__x86_64__)
class KeepDenormals {
 public:
  KeepDenormals() : saved_(_mm_getcsr()) { _mm_setcsr(saved_ & ~kFlushBits); }
  ~KeepDenormals() { _mm_setcsr(saved_); }

 private:
  static constexpr unsigned kFlushBits = 0x8040;
  unsigned saved_;
};
#else
class KeepDenormals {
 public:
  KeepDenormals() {}
};
#endif

// Calls body(begin, end) over pieces of [0, count); cost is about the nanoseconds of one item.
template <class Body>
void ParallelFor(const RocitParallel* parallel, int64_t count, int64_t cost, const Body& body) {
  if (count <= 0) return;
  const auto call = [](void* arg, int64_t begin, int64_t end) {
    const KeepDenormals keep;
    (*static_cast<const Body*>(arg))(begin, end);
  };
  parallel->run(parallel->context, count, cost < 1 ? 1 : cost, call, const_cast<Body*>(&body));
}

}  // namespace rocit

#endif  // ROCIT_CPU_PARALLEL_H_
