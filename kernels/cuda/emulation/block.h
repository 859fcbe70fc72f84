// Runs the threads of a grid one at a time, each until it has to wait for others: block after block, each thread a fiber.
// What a GPU would leave undefined ends the program with the place: threads that miss a barrier, lanes that are named but
// do not come, copies that nobody waited for. Nothing here is meant for speed beyond that of tests.
#ifndef ROCIT_EMULATION_BLOCK_H_
#define ROCIT_EMULATION_BLOCK_H_

#include <cstddef>
#include <cstdint>

namespace rocit {
namespace emulation {

struct Index {
  unsigned x, y, z;
};

struct Dim {
  unsigned x, y, z;
  constexpr Dim(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

// Where in a kernel a thread waits, and in what.
struct Place {
  const char* what;
  const char* file;
  int line;
};

// Which threads and blocks come first. A kernel's result must not depend on it.
enum class Order { kForward, kReverse, kShuffled };

struct Grid {
  Dim blocks, threads;
  size_t shared_bytes;
  void (*body)(const void* context);  // one thread
  const void* context;
};

// The limits of the smallest supported GPU (sm_80).
inline constexpr size_t kMostSharedBytes = 163 * 1024;

void SetOrder(Order order);

// 0, or a cudaError_t where the grid is none that a GPU takes.
int RunGrid(const Grid& grid);

// Called by threads.
unsigned Lane();
void* DynamicSharedBytes();
void SyncThreads(const Place& place);
void SyncWarp(const Place& place, uint32_t mask);

// Waits until all lanes of `mask` are here, from the same place; then one of them calls complete(lanes, mask), where
// lanes[i] is what lane i gave: its own memory, read and written by `complete`.
void MeetWarp(const Place& place, uint32_t mask, void* own, void (*complete)(void* const* lanes, uint32_t mask));

// Reports and ends the program.
[[noreturn]] void Die(const Place& place, const char* problem);

// Asynchronous copies of 16 bytes: the target holds NaN until the thread waits for the group of the copy.
void CopyLater(void* shared, const void* global, bool is_valid, const Place& place);
void CommitCopies();
void WaitForCopies(int groups_in_flight);

}  // namespace emulation
}  // namespace rocit

// The names of CUDA; set whenever another thread goes on.
inline rocit::emulation::Index threadIdx, blockIdx;
inline rocit::emulation::Dim blockDim, gridDim;

#endif  // ROCIT_EMULATION_BLOCK_H_
