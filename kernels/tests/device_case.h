// What the tests of most CUDA kernels do with a case.
#ifndef ROCIT_TESTS_DEVICE_CASE_H_
#define ROCIT_TESTS_DEVICE_CASE_H_

#include "device_memory.h"

namespace device {

// run(shift, title) gives the outputs, of memory that is aligned and of memory that is not; compare(outputs, title) has
// its say, and they are the same bits in every order.
template <class Run, class Compare>
void TestCase(const std::string& name, const Run& run, const Compare& compare) {
  for (const int64_t shift : {0, 1}) {
    const std::string title = name + (shift > 0 ? " not aligned" : "");
    const auto first = run(shift, title);
    compare(first, title);
    InEachOrder([&](const std::string& order) {
      check::That(run(shift, title) == first, title + " has the same bits with " + order);
    });
  }
}

}  // namespace device

#endif  // ROCIT_TESTS_DEVICE_CASE_H_
