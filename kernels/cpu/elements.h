// Element types of tensors on the CPU. Storage only: arithmetic is float32.
#ifndef ROCIT_CPU_ELEMENTS_H_
#define ROCIT_CPU_ELEMENTS_H_

#include <cstdint>

namespace rocit {

struct Bfloat16 {
  uint16_t bits;
};

struct Float16 {
  uint16_t bits;
};

}  // namespace rocit

#endif  // ROCIT_CPU_ELEMENTS_H_
