// A training step on the device: every operation on the default stream, one workspace for all, and on request two events
// around each. Nothing waits but copies to and from the host.
#ifndef ROCIT_BENCH_LLAMA_MACHINE_CUDA_H_
#define ROCIT_BENCH_LLAMA_MACHINE_CUDA_H_

#include <map>
#include <string>
#include <utility>

#include "cuda_bench.h"
#include "llama_machine.h"

namespace llama {

class Device : public Machine {
 public:
  // With `caches`, memory that is freed waits for the next request of its size. In one stream that is safe: what comes
  // later in the stream runs later. Without, every buffer is an allocation of its own, which memory checkers follow.
  explicit Device(bool caches) : caches_(caches) {}
  ~Device() override {
    workspace_ = nullptr;
    ReleaseCache();
  }

  void ReleaseCache() {
    for (auto& [bytes, list] : cache_) {
      for (void* memory : list) device::Free(memory);
    }
    cache_.clear();
  }

  struct Share {
    int calls = 0;
    double milliseconds = 0;
  };
  void StartTiming() {
    timed_.clear();
    is_timing_ = true;
  }
  // Waits; the time of each operation since the start.
  std::map<std::string, Share> StopTiming() {
    is_timing_ = false;
    std::map<std::string, Share> shares;
    for (auto& [op, watch] : timed_) {
      Share& share = shares[op];
      share.calls += 1;
      share.milliseconds += watch.Milliseconds();
    }
    timed_.clear();
    return shares;
  }

  void Upload(void* to, const void* from, int64_t bytes) override { device::CopyIn(to, from, bytes); }
  void Download(void* to, const void* from, int64_t bytes) override { device::CopyOut(to, from, bytes); }
  void Copy(void* to, const void* from, int64_t bytes) override { bench::Must(bench::CopyOnDevice(to, from, bytes), "copy"); }

  void Embedding(const RocitEmbeddingArgs& a) override { Run("embedding", rocit_embedding_cuda, a, 0); }
  void RmsNorm(const RocitRmsNormArgs& a) override { Run("rms_norm", rocit_rms_norm_cuda, a, 0); }
  void RmsNormGrad(const RocitRmsNormGradArgs& a) override { Run("rms_norm grad", rocit_rms_norm_grad_cuda, a, 0); }
  void LoraLinear(const RocitLoraLinearArgs& a) override {
    Run("lora_linear", rocit_lora_linear_cuda, a, rocit_lora_linear_cuda_workspace(&a));
  }
  void LoraLinearGrad(const RocitLoraLinearGradArgs& a) override {
    Run("lora_linear grad", rocit_lora_linear_grad_cuda, a, rocit_lora_linear_grad_cuda_workspace(&a));
  }
  void Rope(const RocitRopeArgs& a) override { Run(a.direction > 0 ? "rope" : "rope grad", rocit_rope_cuda, a, 0); }
  void TreeAttention(const RocitTreeAttentionArgs& a) override {
    Run("tree_attention", rocit_tree_attention_cuda, a, rocit_tree_attention_cuda_workspace(&a.in));
  }
  void TreeAttentionGrad(RocitTreeAttentionGradArgs a) override {
    Run("tree_attention grad", rocit_tree_attention_grad_cuda, a, rocit_tree_attention_grad_cuda_workspace(&a.in));
  }
  void Swiglu(const RocitSwigluArgs& a) override { Run("swiglu", rocit_swiglu_cuda, a, 0); }
  void SwigluGrad(const RocitSwigluGradArgs& a) override { Run("swiglu grad", rocit_swiglu_grad_cuda, a, 0); }
  void LinearCrossEntropy(const RocitLinearCrossEntropyArgs& a) override {
    Run("linear_cross_entropy", rocit_linear_cross_entropy_cuda, a, rocit_linear_cross_entropy_cuda_workspace(&a));
  }
  void Adamw(const RocitAdamwArgs& a, float* stats) override {
    const auto run = [stats](const RocitAdamwArgs* args, const RocitCuda* cuda) {
      return rocit_adamw_cuda(args, stats, cuda);
    };
    Run("adamw", run, a, rocit_adamw_cuda_workspace(&a));
  }

 protected:
  void* Allocate(int64_t bytes) override {
    std::vector<void*>& waiting = cache_[bytes];
    if (waiting.empty()) return device::Allocate(bytes);
    void* memory = waiting.back();
    waiting.pop_back();
    return memory;
  }
  void Free(void* memory, int64_t bytes) override {
    if (caches_) cache_[bytes].push_back(memory);
    else device::Free(memory);
  }

 private:
  template <class Op, class Args>
  void Run(const char* op, const Op& run, const Args& args, int64_t workspace_bytes) {
    if (workspace_bytes > workspace_bytes_) {
      workspace_ = nullptr;
      workspace_ = Make(workspace_bytes);
      workspace_bytes_ = workspace_bytes;
    }
    const RocitCuda cuda = device::Cuda(workspace_.get());
    if (is_timing_) {
      timed_.emplace_back(op, bench::Stopwatch());
      timed_.back().second.Start();
    }
    bench::Must(run(&args, &cuda), op);
    if (is_timing_) timed_.back().second.Stop();
  }

  bool caches_, is_timing_ = false;
  std::map<int64_t, std::vector<void*>> cache_;
  std::vector<std::pair<std::string, bench::Stopwatch>> timed_;
  Buffer workspace_;
  int64_t workspace_bytes_ = 0;
};

}  // namespace llama

#endif  // ROCIT_BENCH_LLAMA_MACHINE_CUDA_H_
