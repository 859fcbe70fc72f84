// mma.h for the emulator.
#ifndef ROCIT_EMULATION_MMA_H_
#define ROCIT_EMULATION_MMA_H_

#include "cuda.h"

namespace rocit {
namespace emulation {

void MeetForProduct(const Place& place, float* d, const uint32_t* a, const uint32_t* b);
void MeetForMatrices(const Place& place, uint32_t* r, int count, const void* row, bool is_transposed);

}  // namespace emulation

inline void MmaBf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], ROCIT_HERE) {
  emulation::MeetForProduct({"MmaBf16", file, line}, d, a, b);
}

inline void LoadMatrix4(uint32_t (&r)[4], const void* shared_row, ROCIT_HERE) {
  emulation::MeetForMatrices({"LoadMatrix4", file, line}, r, 4, shared_row, false);
}
inline void LoadMatrix4Transposed(uint32_t (&r)[4], const void* shared_row, ROCIT_HERE) {
  emulation::MeetForMatrices({"LoadMatrix4Transposed", file, line}, r, 4, shared_row, true);
}
inline void LoadMatrix2(uint32_t (&r)[2], const void* shared_row, ROCIT_HERE) {
  emulation::MeetForMatrices({"LoadMatrix2", file, line}, r, 2, shared_row, false);
}
inline void LoadMatrix2Transposed(uint32_t (&r)[2], const void* shared_row, ROCIT_HERE) {
  emulation::MeetForMatrices({"LoadMatrix2Transposed", file, line}, r, 2, shared_row, true);
}

inline void CopyAsync16(void* shared, const void* global, bool is_valid, ROCIT_HERE) {
  emulation::CopyLater(shared, global, is_valid, {"CopyAsync16", file, line});
}
inline void CopyAsyncCommit() { emulation::CommitCopies(); }
template <int kInFlight>
void CopyAsyncWait() {
  emulation::WaitForCopies(kInFlight);
}

}  // namespace rocit

#endif  // ROCIT_EMULATION_MMA_H_
