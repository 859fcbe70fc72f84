// Memory of a thread for the time of one piece of work; kept and used again, so that no piece waits for the allocator.
#ifndef ROCIT_CPU_SCRATCH_H_
#define ROCIT_CPU_SCRATCH_H_

#include <cstdint>
#include <cstdlib>
#include <new>

namespace rocit {

class ScratchBlock {
 public:
  ~ScratchBlock() { std::free(data_); }
  void* Get(size_t bytes) {
    if (bytes <= size_) return data_;
    std::free(data_);
    size_ = (bytes + 4095) / 4096 * 4096;
    data_ = std::aligned_alloc(64, size_);
    if (data_ == nullptr) {
      size_ = 0;
      throw std::bad_alloc();
    }
    return data_;
  }

 private:
  void* data_ = nullptr;
  size_t size_ = 0;
};

// What a thread keeps a block for; pieces of work use each block for one purpose at a time.
enum class Scratch { kPanels, kRows, kTile, kSlab, kSums, kCount };

template <class T>
T* ThreadScratch(Scratch purpose, int64_t count) {
  static thread_local ScratchBlock blocks[static_cast<int>(Scratch::kCount)];
  return static_cast<T*>(blocks[static_cast<int>(purpose)].Get(static_cast<size_t>(count > 0 ? count : 1) * sizeof(T)));
}

}  // namespace rocit

#endif  // ROCIT_CPU_SCRATCH_H_
