// The threads of one block and who goes on next; see block.h.
#include "block.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "fiber.h"
#include "races.h"

namespace rocit {
namespace emulation {
namespace {

constexpr unsigned kWarpSize = 32;
constexpr unsigned kMostThreads = 1024;
constexpr int kInvalidValue = 1, kInvalidConfiguration = 9;  // cudaError_t

struct Copy {
  void* to;
  const void* from;
  bool is_valid;
};

struct Thread {
  Fiber fiber;
  unsigned number = 0;
  Index index = {};
  Place place = {};  // where it waits
  std::vector<std::vector<Copy>> groups;  // committed, not waited for
  std::vector<Copy> open_group;
};

// A bit each lane.
struct Warp {
  uint32_t there = 0, ready = 0, at_barrier = 0, meeting = 0, done = 0;
  uint32_t masks[kWarpSize] = {};
  void* given[kWarpSize] = {};
  char syncs[2] = {};  // names of the memory orders of __syncwarp, in turn
  unsigned num_syncs = 0;
};

struct Block {
  const Grid* grid = nullptr;
  unsigned num_threads = 0, num_at_barrier = 0, num_done = 0;
  std::vector<std::unique_ptr<Thread>> threads;  // kept for the next grid
  std::vector<Warp> warps;
  char* shared = nullptr;
  char starts = 0, ends = 0, syncs[2] = {};  // names of memory orders; those of barriers in turn
  unsigned num_syncs = 0;
};

Block block;
Fiber host;
Thread* current = nullptr;
Order order = Order::kForward;
uint64_t shuffle_state = 1;

unsigned NextRandom(unsigned count) {
  shuffle_state = shuffle_state * 6364136223846793005u + 1442695040888963407u;
  return static_cast<unsigned>((shuffle_state >> 33) % count);
}

Warp* WarpOf(const Thread* thread) { return &block.warps[thread->number / kWarpSize]; }
uint32_t BitOf(const Thread* thread) { return 1u << (thread->number % kWarpSize); }

bool IsSame(const Place& a, const Place& b) {
  return a.line == b.line && (a.file == b.file || std::strcmp(a.file, b.file) == 0);
}

unsigned PickLane(uint32_t ready) {
  if (order == Order::kForward) return __builtin_ctz(ready);
  if (order == Order::kReverse) return 31 - __builtin_clz(ready);
  const unsigned start = NextRandom(kWarpSize);
  const uint32_t turned = (ready >> start) | (start == 0 ? 0 : ready << (kWarpSize - start));
  return (__builtin_ctz(turned) + start) % kWarpSize;
}

// The own warp first, since its lanes meet most often; null where nobody can go on.
Thread* PickThread(unsigned own_warp) {
  const unsigned count = static_cast<unsigned>(block.warps.size());
  const unsigned start = order == Order::kShuffled ? NextRandom(count) : own_warp;
  for (unsigned i = 0; i < count; ++i) {
    const unsigned warp = (order == Order::kReverse ? start + count - i : start + i) % count;
    if (block.warps[warp].ready != 0) return block.threads[warp * kWarpSize + PickLane(block.warps[warp].ready)].get();
  }
  return nullptr;
}

void PrintWaiting() {
  std::fprintf(stderr, "  block (%u, %u, %u) of %u threads, %u at __syncthreads, %u have returned\n", blockIdx.x, blockIdx.y,
               blockIdx.z, block.num_threads, block.num_at_barrier, block.num_done);
  int left = 8;
  for (unsigned i = 0; i < block.num_threads && left > 0; ++i) {
    const Thread* thread = block.threads[i].get();
    const Warp* warp = WarpOf(thread);
    if (((warp->at_barrier | warp->meeting) & BitOf(thread)) == 0) continue;
    const Place& place = thread->place;
    std::fprintf(stderr, "  thread (%u, %u, %u) waits in %s, %s:%d\n", thread->index.x, thread->index.y, thread->index.z,
                 place.what, place.file, place.line);
    left -= 1;
  }
}

void GoOn(Thread* thread) {
  current = thread;
  threadIdx = thread->index;
  WarpOf(thread)->ready &= ~BitOf(thread);
}

// The current thread waits or has returned: another one goes on.
void Yield() {
  Thread* self = current;
  Thread* next = PickThread(self->number / kWarpSize);
  if (next == nullptr) {
    if (block.num_done < block.num_threads) Die(self->place, "nobody can go on");
    SwitchFiber(&self->fiber, &host);
    return;
  }
  GoOn(next);
  SwitchFiber(&self->fiber, &next->fiber);
}

void LeaveCopies() {
  bool is_copying = !current->open_group.empty();
  for (const std::vector<Copy>& group : current->groups) is_copying = is_copying || !group.empty();
  if (is_copying) Die(current->place, "copies that nobody waited for");
  current->groups.clear();
}

void RunThread() {
  EnterFiber();
  for (;;) {
    Acquire(&block.starts);
    block.grid->body(block.grid->context);
    Release(&block.ends);
    current->place = {"return", "kernel", 0};
    LeaveCopies();
    WarpOf(current)->done |= BitOf(current);
    block.num_done += 1;
    Yield();
  }
}

void PrepareBlock(const Grid& grid) {
  block.grid = &grid;
  block.num_threads = grid.threads.x * grid.threads.y * grid.threads.z;
  block.num_at_barrier = block.num_done = 0;
  while (block.threads.size() < block.num_threads) {
    block.threads.push_back(std::make_unique<Thread>());
    block.threads.back()->fiber = NewFiber(&RunThread);
  }
  block.warps.assign((block.num_threads + kWarpSize - 1) / kWarpSize, Warp());
  for (unsigned i = 0; i < block.num_threads; ++i) {
    Thread* thread = block.threads[i].get();
    const unsigned x = grid.threads.x, y = grid.threads.y;
    thread->number = i;
    thread->index = {i % x, i / x % y, i / x / y};
    WarpOf(thread)->there |= BitOf(thread);
  }
  for (Warp& warp : block.warps) warp.ready = warp.there;
  if (grid.shared_bytes > 0) std::memset(block.shared, 0xff, grid.shared_bytes);
}

void RunBlock(const Grid& grid, uint64_t number) {
  const uint64_t x = grid.blocks.x, y = grid.blocks.y;
  blockIdx = {static_cast<unsigned>(number % x), static_cast<unsigned>(number / x % y),
              static_cast<unsigned>(number / x / y)};
  PrepareBlock(grid);
  const unsigned last = static_cast<unsigned>(block.warps.size()) - 1;
  Thread* first = PickThread(order == Order::kReverse ? last : 0);
  GoOn(first);
  Release(&block.starts);
  SwitchFiber(&host, &first->fiber);
  Acquire(&block.ends);
}

bool IsRunnable(const Grid& grid) {
  const Dim &b = grid.blocks, &t = grid.threads;
  const uint64_t threads = static_cast<uint64_t>(t.x) * t.y * t.z;
  return threads >= 1 && threads <= kMostThreads && t.z <= 64 && b.x <= 0x7fffffffu && b.y <= 65535 && b.z <= 65535;
}

}  // namespace

void SetOrder(Order wanted) {
  order = wanted;
  shuffle_state = 1;
}

int RunGrid(const Grid& grid) {
  if (!IsRunnable(grid)) return kInvalidConfiguration;
  if (grid.shared_bytes > kMostSharedBytes) return kInvalidValue;
  // 16 bytes off a coarser alignment: kernels may count on no more. The end is the allocation's.
  void* memory = nullptr;
  if (posix_memalign(&memory, 256, grid.shared_bytes + 16) != 0) std::abort();
  block.shared = static_cast<char*>(memory) + 16;
  blockDim = grid.threads;
  gridDim = grid.blocks;
  const uint64_t count = static_cast<uint64_t>(grid.blocks.x) * grid.blocks.y * grid.blocks.z;
  for (uint64_t i = 0; i < count; ++i) RunBlock(grid, order == Order::kReverse ? count - 1 - i : i);
  std::free(memory);
  return 0;
}

unsigned Lane() { return current->number % kWarpSize; }

void* DynamicSharedBytes() { return block.shared; }

void SyncThreads(const Place& place) {
  current->place = place;
  Warp* own = WarpOf(current);
  own->at_barrier |= BitOf(current);
  block.num_at_barrier += 1;
  void* sync = &block.syncs[block.num_syncs % 2];
  Release(sync);
  if (block.num_at_barrier < block.num_threads) {
    Yield();
    return Acquire(sync);
  }
  for (const auto& thread : block.threads) {
    if (thread->number >= block.num_threads) break;
    if (!IsSame(thread->place, place)) Die(place, "threads meet from different places");
  }
  block.num_at_barrier = 0;
  block.num_syncs += 1;
  for (Warp& warp : block.warps) {
    warp.ready |= warp.at_barrier;
    warp.at_barrier = 0;
  }
  own->ready &= ~BitOf(current);
  Acquire(sync);
}

void SyncWarp(const Place& place, uint32_t mask) {
  Warp* warp = WarpOf(current);
  void* sync = &warp->syncs[warp->num_syncs % 2];
  Release(sync);
  MeetWarp(place, mask, nullptr, [](void* const*, uint32_t) { WarpOf(current)->num_syncs += 1; });
  Acquire(sync);
}

void MeetWarp(const Place& place, uint32_t mask, void* given, void (*complete)(void* const* lanes, uint32_t mask)) {
  const unsigned lane = Lane();
  Warp* warp = WarpOf(current);
  current->place = place;
  if ((mask & BitOf(current)) == 0) Die(place, "the mask lacks the own lane");
  if ((mask & ~warp->there) != 0) Die(place, "the mask names lanes that the block lacks");
  if ((mask & warp->done) != 0) Die(place, "the mask names lanes that have returned");
  warp->meeting |= BitOf(current);
  warp->masks[lane] = mask;
  warp->given[lane] = given;
  if ((warp->meeting & mask) != mask) return Yield();
  for (unsigned i = 0; i < kWarpSize; ++i) {
    if ((mask >> i & 1) == 0) continue;
    if (warp->masks[i] != mask) Die(place, "lanes meet with different masks");
    const Thread* other = block.threads[current->number - lane + i].get();
    if (!IsSame(other->place, place)) Die(place, "lanes meet from different places");
  }
  complete(warp->given, mask);
  warp->meeting &= ~mask;
  warp->ready |= mask & ~BitOf(current);
}

void Die(const Place& place, const char* problem) {
  std::fflush(stdout);
  std::fprintf(stderr, "CUDA emulator: %s: %s, %s:%d, thread (%u, %u, %u)\n", place.what, problem, place.file, place.line,
               threadIdx.x, threadIdx.y, threadIdx.z);
  PrintWaiting();
  std::abort();
}

void CopyLater(void* shared, const void* global, bool is_valid, const Place& place) {
  if (reinterpret_cast<uintptr_t>(shared) % 16 != 0) Die(place, "the target is not on a multiple of 16 bytes");
  if (is_valid && reinterpret_cast<uintptr_t>(global) % 16 != 0) Die(place, "the source is not on a multiple of 16 bytes");
  Writes16(shared);
  std::memset(shared, 0xff, 16);
  current->open_group.push_back({shared, global, is_valid});
}

void CommitCopies() {
  current->groups.push_back(std::move(current->open_group));
  current->open_group.clear();
}

void WaitForCopies(int groups_in_flight) {
  std::vector<std::vector<Copy>>& groups = current->groups;
  const size_t left = static_cast<size_t>(groups_in_flight);
  const size_t finished = groups.size() > left ? groups.size() - left : 0;
  for (size_t i = 0; i < finished; ++i) {
    for (const Copy& copy : groups[i]) {
      Writes16(copy.to);
      if (copy.is_valid) Reads16(copy.from);
      if (copy.is_valid) std::memcpy(copy.to, copy.from, 16);
      else std::memset(copy.to, 0, 16);
    }
  }
  groups.erase(groups.begin(), groups.begin() + static_cast<std::ptrdiff_t>(finished));
}

}  // namespace emulation
}  // namespace rocit
