// The tensor cores and what feeds them: PTX for nvcc, lanes that exchange their registers for the emulator. All 32 lanes
// of a warp come to each of these together. Register layouts are those of the PTX manual; for a lane l:
//   MmaBf16  a[0] row l / 4, columns l % 4 * 2 and + 1; a[1] 8 rows below; a[2] 8 columns right; a[3] both
//            b[0] rows l % 4 * 2 and + 1, column l / 4; b[1] 8 rows below
//            d[0], d[1] row l / 4, columns l % 4 * 2 and + 1; d[2], d[3] 8 rows below
//   LoadMatrixN  r[i] is row l / 4, columns l % 4 * 2 and + 1 of matrix i (8 x 8), whose rows lanes 8 i ... 8 i + 7 name
#ifndef ROCIT_CUDA_MMA_H_
#define ROCIT_CUDA_MMA_H_

#include "device.h"

#if ROCIT_CUDA_EMULATION
#include "emulation/mma.h"
#else

namespace rocit {

// d += a b, 16 x 8 from 16 x 16 and 16 x 8.
__device__ __forceinline__ void MmaBf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

__device__ __forceinline__ uint32_t SharedAddress(const void* shared) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(shared));
}

// Each lane gives the address of one row of 16 bytes.
__device__ __forceinline__ void LoadMatrix4(uint32_t (&r)[4], const void* shared_row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(SharedAddress(shared_row))
               : "memory");
}
__device__ __forceinline__ void LoadMatrix4Transposed(uint32_t (&r)[4], const void* shared_row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(SharedAddress(shared_row))
               : "memory");
}

// Lanes 0 to 15 give the addresses; those of the others are not used.
__device__ __forceinline__ void LoadMatrix2(uint32_t (&r)[2], const void* shared_row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
               : "=r"(r[0]), "=r"(r[1])
               : "r"(SharedAddress(shared_row))
               : "memory");
}
__device__ __forceinline__ void LoadMatrix2Transposed(uint32_t (&r)[2], const void* shared_row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
               : "=r"(r[0]), "=r"(r[1])
               : "r"(SharedAddress(shared_row))
               : "memory");
}

// 16 bytes to shared memory behind the thread's back, zeros where not valid (`global` is not read then, but must be an
// address of device memory). Both sides lie on multiples of 16.
__device__ __forceinline__ void CopyAsync16(void* shared, const void* global, bool is_valid) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
               :
               : "r"(SharedAddress(shared)), "l"(__cvta_generic_to_global(global)), "r"(is_valid ? 16 : 0)
               : "memory");
}

__device__ __forceinline__ void CopyAsyncCommit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Until at most kInFlight of the thread's groups are under way. A barrier makes them visible to other threads.
template <int kInFlight>
__device__ __forceinline__ void CopyAsyncWait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kInFlight) : "memory");
}

}  // namespace rocit

#endif
#endif  // ROCIT_CUDA_MMA_H_
