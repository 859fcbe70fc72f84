// Where the tensors of a case lie: OnHost here, OnDevice in device_memory.h. The cases fill the arguments for both.
#ifndef ROCIT_TESTS_CASES_MEMORY_H_
#define ROCIT_TESTS_CASES_MEMORY_H_

#include <vector>

#include "check.h"

namespace cases {

struct OnHost {
  using Tensor = check::Values;
  template <class T>
  using Array = std::vector<T>;
  static const check::Values& Read(const Tensor& tensor) { return tensor; }
};

template <class Tensor>
float* Floats(Tensor& tensor) {
  return static_cast<float*>(tensor.data());
}

}  // namespace cases

#endif  // ROCIT_TESTS_CASES_MEMORY_H_
