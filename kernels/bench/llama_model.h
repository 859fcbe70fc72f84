// The tensors of a LLaMA with adapters on all linears: shapes, random frozen weights, and what AdamW keeps.
#ifndef ROCIT_BENCH_LLAMA_MODEL_H_
#define ROCIT_BENCH_LLAMA_MODEL_H_

#include <cmath>

#include "check.h"
#include "llama_machine.h"

namespace llama {

// The linears of a block, in the order of their adapters.
enum Linear { kQuery, kKey, kValue, kOutput, kGate, kUp, kDown, kLinears };

struct Shape {
  int64_t layers, hidden, intermediate, heads, key_heads, head_dim, vocab, rank;

  int64_t query_width() const { return heads * head_dim; }
  int64_t key_width() const { return key_heads * head_dim; }
  int64_t In(int linear) const {
    return linear == kOutput ? query_width() : linear == kDown ? intermediate : hidden;
  }
  int64_t Out(int linear) const {
    switch (linear) {
      case kQuery: return query_width();
      case kKey:
      case kValue: return key_width();
      case kGate:
      case kUp: return intermediate;
      default: return hidden;
    }
  }
  // Frozen weights that multiply every token.
  double Multiplied() const {
    const int64_t attention = 2 * hidden * (query_width() + key_width()), mlp = 3 * hidden * intermediate;
    return static_cast<double>(layers * (attention + mlp) + vocab * hidden);
  }
};

inline Shape Llama7b() { return {32, 4096, 11008, 32, 32, 128, 32000, 16}; }

// Random values in the machine's memory, of which each tensor takes those behind the last one's.
class Pool {
 public:
  Pool(Machine* machine, const check::Values& values)
      : machine_(machine), size_(values.size()), element_(static_cast<int64_t>(values.bytes.size()) / values.size()),
        values_(machine->Make(values.bytes)) {}
  Buffer Draw(int64_t count) {
    const Buffer tensor = machine_->Make(count * element_);
    for (int64_t done = 0; done < count;) {
      const int64_t piece = std::min(count - done, size_ - drawn_);
      machine_->Copy(static_cast<char*>(tensor.get()) + done * element_,
                     static_cast<char*>(values_.get()) + drawn_ * element_, piece * element_);
      done += piece;
      drawn_ = (drawn_ + piece) % size_;
    }
    return tensor;
  }

 private:
  Machine* machine_;
  int64_t size_, element_, drawn_ = 0;
  Buffer values_;
};

struct Frozen {
  Buffer embedding, head;
  std::vector<Buffer> linears, norms;
};

inline Frozen DrawFrozen(Machine* machine, const Shape& shape, RocitDtype dtype, check::Random* random) {
  const int64_t largest = shape.hidden * std::max(shape.vocab, shape.intermediate);
  const double scale = std::sqrt(3.0 / static_cast<double>(shape.hidden));
  Pool pool(machine, check::RandomValues(dtype, std::min<int64_t>(largest, (1 << 22) + 3), random, scale));
  Frozen frozen;
  frozen.embedding = pool.Draw(shape.vocab * shape.hidden);
  frozen.head = pool.Draw(shape.vocab * shape.hidden);
  for (int64_t layer = 0; layer < shape.layers; ++layer) {
    for (int linear = 0; linear < kLinears; ++linear) {
      frozen.linears.push_back(pool.Draw(shape.Out(linear) * shape.In(linear)));
    }
  }
  for (int64_t i = 0; i < 2 * shape.layers + 1; ++i) {
    check::Values norm(dtype, shape.hidden);
    for (int64_t c = 0; c < shape.hidden; ++c) norm.Set(c, 1 + 0.1 * random->Next());
    frozen.norms.push_back(machine->Make(norm.bytes));
  }
  return frozen;
}

// AdamW writes new tensors, which take turns with the old ones.
struct Pair {
  std::vector<Buffer> now, next;
};

// A and B of each linear of each layer, their gradients and moments.
struct Trained {
  std::vector<int64_t> sizes;
  Pair adapters, m, v;
  std::vector<Buffer> gradients;
};

inline Trained DrawTrained(Machine* machine, const Shape& shape, check::Random* random) {
  const double scale = std::sqrt(3 / static_cast<float>(shape.hidden));
  Pool pool(machine, check::RandomValues(ROCIT_FLOAT32, (1 << 20) + 7, random, scale));
  Trained trained;
  for (int64_t layer = 0; layer < shape.layers; ++layer) {
    for (int linear = 0; linear < kLinears; ++linear) {
      trained.sizes.insert(trained.sizes.end(), {shape.rank * shape.In(linear), shape.rank * shape.Out(linear)});
    }
  }
  for (const int64_t size : trained.sizes) {
    trained.adapters.now.push_back(pool.Draw(size));
    trained.adapters.next.push_back(machine->Make(4 * size));
    trained.gradients.push_back(machine->Make(4 * size));
    const std::vector<float> zero(size);
    for (Pair* pair : {&trained.m, &trained.v}) {
      pair->now.push_back(machine->Make(zero));
      pair->next.push_back(machine->Make(4 * size));
    }
  }
  return trained;
}

}  // namespace llama

#endif  // ROCIT_BENCH_LLAMA_MODEL_H_
