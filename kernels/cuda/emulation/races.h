// What the thread sanitizer is told (ROCIT_FIND_RACES): each CUDA thread is a thread to it, and only what orders memory
// on a GPU orders it here: barriers, __syncwarp, and the end of a block. Shuffles and tensor cores order nothing.
#ifndef ROCIT_EMULATION_RACES_H_
#define ROCIT_EMULATION_RACES_H_

#if ROCIT_FIND_RACES

extern "C" {
void __tsan_acquire(void* sync);
void __tsan_release(void* sync);
void __tsan_read16(void* from);
void __tsan_write16(void* to);
}

// For what the emulator does on behalf of other threads.
#define ROCIT_UNSEEN __attribute__((no_sanitize("thread")))

namespace rocit {
namespace emulation {

inline void Acquire(void* sync) { __tsan_acquire(sync); }
inline void Release(void* sync) { __tsan_release(sync); }
inline void Reads16(const void* from) { __tsan_read16(const_cast<void*>(from)); }
inline void Writes16(void* to) { __tsan_write16(to); }

}  // namespace emulation
}  // namespace rocit

#else

#define ROCIT_UNSEEN

namespace rocit {
namespace emulation {

inline void Acquire(void*) {}
inline void Release(void*) {}
inline void Reads16(const void*) {}
inline void Writes16(void*) {}

}  // namespace emulation
}  // namespace rocit

#endif
#endif  // ROCIT_EMULATION_RACES_H_
