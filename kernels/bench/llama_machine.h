// Where a training step runs: memory, and the operations of the contract in the order of their calls. The processor's
// version is here, the device's in llama_machine_cuda.h. Memory is counted, so that a step knows its peak.
#ifndef ROCIT_BENCH_LLAMA_MACHINE_H_
#define ROCIT_BENCH_LLAMA_MACHINE_H_

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "adamw.h"
#include "embedding.h"
#include "linear_cross_entropy.h"
#include "lora_linear.h"
#include "rms_norm.h"
#include "rope.h"
#include "swiglu.h"
#include "tree_attention.h"

namespace llama {

// Freed when the last holder lets go of it.
using Buffer = std::shared_ptr<void>;

class Machine {
 public:
  virtual ~Machine() = default;

  Buffer Make(int64_t bytes) {
    live_ += bytes;
    peak_ = std::max(peak_, live_);
    return Buffer(Allocate(bytes), [this, bytes](void* memory) {
      live_ -= bytes;
      Free(memory, bytes);
    });
  }
  template <class T>
  Buffer Make(const std::vector<T>& values) {
    const int64_t bytes = static_cast<int64_t>(values.size() * sizeof(T));
    const Buffer buffer = Make(bytes);
    Upload(buffer.get(), values.data(), bytes);
    return buffer;
  }
  template <class T>
  std::vector<T> Read(const Buffer& buffer, int64_t count) {
    std::vector<T> values(count);
    Download(values.data(), buffer.get(), count * static_cast<int64_t>(sizeof(T)));
    return values;
  }
  int64_t live() const { return live_; }
  int64_t peak() const { return peak_; }
  void ForgetPeak() { peak_ = live_; }

  virtual void Upload(void* to, const void* from, int64_t bytes) = 0;
  virtual void Download(void* to, const void* from, int64_t bytes) = 0;
  virtual void Copy(void* to, const void* from, int64_t bytes) = 0;  // both in the machine's memory

  virtual void Embedding(const RocitEmbeddingArgs& args) = 0;
  virtual void RmsNorm(const RocitRmsNormArgs& args) = 0;
  virtual void RmsNormGrad(const RocitRmsNormGradArgs& args) = 0;
  virtual void LoraLinear(const RocitLoraLinearArgs& args) = 0;
  virtual void LoraLinearGrad(const RocitLoraLinearGradArgs& args) = 0;
  virtual void Rope(const RocitRopeArgs& args) = 0;
  virtual void TreeAttention(const RocitTreeAttentionArgs& args) = 0;
  virtual void TreeAttentionGrad(RocitTreeAttentionGradArgs args) = 0;
  virtual void Swiglu(const RocitSwigluArgs& args) = 0;
  virtual void SwigluGrad(const RocitSwigluGradArgs& args) = 0;
  virtual void LinearCrossEntropy(const RocitLinearCrossEntropyArgs& args) = 0;
  virtual void Adamw(const RocitAdamwArgs& args, float* stats) = 0;  // stats [2]: gradient norm, bad tensor or -1

 protected:
  virtual void* Allocate(int64_t bytes) = 0;
  virtual void Free(void* memory, int64_t bytes) = 0;

 private:
  int64_t live_ = 0, peak_ = 0;
};

class Processor : public Machine {
 public:
  explicit Processor(const RocitParallel& parallel) : parallel_(parallel) {}

  void Upload(void* to, const void* from, int64_t bytes) override { Copy(to, from, bytes); }
  void Download(void* to, const void* from, int64_t bytes) override { Copy(to, from, bytes); }
  void Copy(void* to, const void* from, int64_t bytes) override {
    if (bytes > 0) std::memcpy(to, from, bytes);
  }

  void Embedding(const RocitEmbeddingArgs& args) override { rocit_embedding(&args, &parallel_); }
  void RmsNorm(const RocitRmsNormArgs& args) override { rocit_rms_norm(&args, &parallel_); }
  void RmsNormGrad(const RocitRmsNormGradArgs& args) override { rocit_rms_norm_grad(&args, &parallel_); }
  void LoraLinear(const RocitLoraLinearArgs& args) override { rocit_lora_linear(&args, &parallel_); }
  void LoraLinearGrad(const RocitLoraLinearGradArgs& args) override { rocit_lora_linear_grad(&args, &parallel_); }
  void Rope(const RocitRopeArgs& args) override { rocit_rope(&args, &parallel_); }
  void TreeAttention(const RocitTreeAttentionArgs& args) override { rocit_tree_attention(&args, &parallel_); }
  void TreeAttentionGrad(RocitTreeAttentionGradArgs args) override {
    const Buffer workspace = Make(rocit_tree_attention_grad_workspace(&args.in));
    args.workspace = workspace.get();
    rocit_tree_attention_grad(&args, &parallel_);
  }
  void Swiglu(const RocitSwigluArgs& args) override { rocit_swiglu(&args, &parallel_); }
  void SwigluGrad(const RocitSwigluGradArgs& args) override { rocit_swiglu_grad(&args, &parallel_); }
  void LinearCrossEntropy(const RocitLinearCrossEntropyArgs& args) override {
    rocit_linear_cross_entropy(&args, &parallel_);
  }
  void Adamw(const RocitAdamwArgs& args, float* stats) override {
    const RocitAdamwResult result = rocit_adamw(&args, &parallel_);
    stats[0] = static_cast<float>(result.grad_norm);
    stats[1] = static_cast<float>(result.bad_tensor);
  }

 protected:
  void* Allocate(int64_t bytes) override { return std::malloc(bytes > 0 ? bytes : 1); }
  void Free(void* memory, int64_t) override { std::free(memory); }

 private:
  RocitParallel parallel_;
};

}  // namespace llama

#endif  // ROCIT_BENCH_LLAMA_MACHINE_H_
