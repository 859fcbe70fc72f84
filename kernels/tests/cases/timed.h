// The cases of an operation that the benches time.
#ifndef ROCIT_TESTS_CASES_TIMED_H_
#define ROCIT_TESTS_CASES_TIMED_H_

#include <vector>

namespace cases {

template <class Case>
struct Timed {
  std::vector<Case> host, device;
  std::vector<Case> emulated;  // instead of those of the device
  int quick = 1;               // so many of the device's where it has to be quick
};

}  // namespace cases

#endif  // ROCIT_TESTS_CASES_TIMED_H_
