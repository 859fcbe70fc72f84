// One LoRA training step of a LLaMA, chained from the contracts alone: embedding, pre-norm blocks with adapters on all
// seven linears, loss over edges, backward, clip and AdamW. Frozen weights and adapters are random. A block keeps what its
// backward needs, or its two inputs alone, and then runs again in the backward.
#ifndef ROCIT_BENCH_LLAMA_STEP_H_
#define ROCIT_BENCH_LLAMA_STEP_H_

#include <cmath>
#include <string>
#include <tuple>
#include <utility>

#include "cases/packs.h"
#include "check.h"
#include "llama_model.h"

namespace llama {

class Step {
 public:
  static constexpr float kEps = 1e-5f, kScaling = 2;

  Step(Machine* machine, const Shape& shape, RocitDtype dtype, const cases::Pack& pack)
      : machine_(machine), shape_(shape), dtype_(dtype), tokens_(pack.size()), random_(7) {
    MakePack(pack);
    frozen_ = DrawFrozen(machine, shape, dtype, &random_);
    trained_ = DrawTrained(machine, shape, &random_);
  }

  // Forward and backward into the gradients of the adapters. Nothing waits for a device.
  void ForwardBackward(bool recomputes) {
    std::vector<Saved> blocks(shape_.layers);
    Buffer residual = Embed(), branch;
    for (int64_t layer = 0; layer < shape_.layers; ++layer) {
      Saved& block = blocks[layer];
      block.residual = residual;
      block.branch = branch;
      residual = branch = nullptr;
      branch = Forward(layer, &block);
      residual = block.sum2;
      if (recomputes) block = Saved(block.residual, block.branch);
      else block.residual = block.branch = nullptr;
    }
    Buffer gradient = Head(branch, std::exchange(residual, nullptr));
    branch = nullptr;
    for (int64_t layer = shape_.layers - 1; layer >= 0; --layer) {
      if (recomputes) Forward(layer, &blocks[layer]);
      gradient = Backward(layer, &blocks[layer], std::move(gradient));
      blocks[layer] = Saved();
    }
  }

  // Clips the gradients to a norm of one and takes step `number` (from 1) of AdamW.
  void Update(int number, double learning_rate = 1e-3) {
    const auto in = [](const std::vector<Buffer>& list) {
      std::vector<const float*> pointers;
      for (const Buffer& one : list) pointers.push_back(static_cast<const float*>(one.get()));
      return pointers;
    };
    const auto out = [](const std::vector<Buffer>& list) {
      std::vector<float*> pointers;
      for (const Buffer& one : list) pointers.push_back(static_cast<float*>(one.get()));
      return pointers;
    };
    const auto p = in(trained_.adapters.now), g = in(trained_.gradients), m = in(trained_.m.now), v = in(trained_.v.now);
    const auto new_p = out(trained_.adapters.next), new_m = out(trained_.m.next), new_v = out(trained_.v.next);
    const std::vector<int64_t>& sizes = trained_.sizes;
    const RocitAdamwArgs args = {static_cast<int64_t>(sizes.size()), sizes.data(), p.data(), g.data(), m.data(),
                                 v.data(), new_p.data(), new_m.data(), new_v.data(), learning_rate, 0.9, 0.999, 1e-8, 0.01,
                                 1, 1, 1 - std::pow(0.9, number), 1 - std::pow(0.999, number)};
    machine_->Adamw(args, Floats(stats_));
    for (Pair* pair : {&trained_.adapters, &trained_.m, &trained_.v}) std::swap(pair->now, pair->next);
  }

  float Loss() const { return machine_->Read<float>(loss_, 1)[0]; }
  // The norm before clipping, and the first adapter with a gradient that is not finite, or -1.
  std::vector<float> Stats() const { return machine_->Read<float>(stats_, 2); }
  std::vector<std::vector<float>> Gradients() const { return ReadAll(trained_.gradients); }
  std::vector<std::vector<float>> Adapters() const { return ReadAll(trained_.adapters.now); }
  void SetAdapters(const std::vector<std::vector<float>>& values) {
    for (size_t i = 0; i < values.size(); ++i) {
      machine_->Upload(trained_.adapters.now[i].get(), values[i].data(), 4 * trained_.sizes[i]);
    }
  }
  // "layer 1 up B"
  static std::string AdapterName(size_t i) {
    static const char* const linears[] = {"query", "key", "value", "output", "gate", "up", "down"};
    return "layer " + std::to_string(i / (2 * kLinears)) + " " + linears[i / 2 % kLinears] + (i % 2 == 0 ? " A" : " B");
  }

 private:
  struct Saved {
    Buffer residual, branch;  // the inputs; no branch in the first block
    Buffer sum1, rstd1, y1, z_qkv, q, k, v, attended, lse, z_output;
    Buffer sum2, rstd2, y2, z_gate_up, gate, up, product, z_down;

    Saved() = default;
    Saved(Buffer stream, Buffer addend) : residual(std::move(stream)), branch(std::move(addend)) {}
  };
  struct Normed {
    Buffer y, sum, rstd;
  };

  static float* Floats(const Buffer& buffer) { return static_cast<float*>(buffer.get()); }
  static const int32_t* Ints(const Buffer& buffer) { return static_cast<const int32_t*>(buffer.get()); }
  int64_t Bytes(int64_t count) const { return count * (dtype_ == ROCIT_FLOAT32 ? 4 : 2); }
  Buffer Rows(int64_t columns) { return machine_->Make(Bytes(tokens_ * columns)); }
  Buffer FloatRows(int64_t columns) { return machine_->Make(4 * tokens_ * columns); }
  std::vector<std::vector<float>> ReadAll(const std::vector<Buffer>& list) const {
    std::vector<std::vector<float>> all;
    for (size_t i = 0; i < list.size(); ++i) all.push_back(machine_->Read<float>(list[i], trained_.sizes[i]));
    return all;
  }

  void MakePack(const cases::Pack& pack) {
    std::vector<int32_t> ids, rows, targets;
    for (int64_t n = 0; n < tokens_; ++n) ids.push_back(static_cast<int32_t>(random_.Bits() % shape_.vocab));
    for (int64_t n = 0; n < tokens_; ++n) {
      const int64_t parent = pack.Parent(n);
      if (parent < 0) continue;
      rows.push_back(static_cast<int32_t>(parent));
      targets.push_back(ids[n]);
    }
    num_edges_ = static_cast<int64_t>(rows.size());
    std::vector<float> inverse;
    for (int64_t i = 0; i < shape_.head_dim / 2; ++i) {
      inverse.push_back(static_cast<float>(std::pow(10000.0, -2.0 * static_cast<double>(i) / shape_.head_dim)));
    }
    ids_ = machine_->Make(ids);
    position_ids_ = machine_->Make(pack.position_ids);
    subtree_end_ = machine_->Make(pack.subtree_end);
    edge_rows_ = machine_->Make(rows);
    edge_targets_ = machine_->Make(targets);
    edge_weights_ = machine_->Make(std::vector<float>(num_edges_, 1 / static_cast<float>(num_edges_)));
    inv_freq_ = machine_->Make(inverse);
    loss_ = machine_->Make(4);
    edge_losses_ = machine_->Make(4 * num_edges_);
    stats_ = machine_->Make(8);
  }

  Buffer Embed() {
    const Buffer y = Rows(shape_.hidden);
    machine_->Embedding({dtype_, shape_.vocab, shape_.hidden, tokens_, frozen_.embedding.get(), Ints(ids_), y.get()});
    return y;
  }

  Normed Norm(const Buffer& x, const Buffer& residual, const Buffer& weight) {
    const Normed to = {Rows(shape_.hidden), residual ? Rows(shape_.hidden) : x, FloatRows(1)};
    machine_->RmsNorm({dtype_, tokens_, shape_.hidden, kEps, x.get(), residual.get(), weight.get(), to.y.get(),
                       residual ? to.sum.get() : nullptr, Floats(to.rstd)});
    return to;
  }

  Buffer NormGrad(const Buffer& dy, const Buffer& dsum, const Buffer& sum, const Buffer& rstd, const Buffer& weight) {
    const Buffer dx = Rows(shape_.hidden);
    machine_->RmsNormGrad({dtype_, tokens_, shape_.hidden, dy.get(), dsum.get(), sum.get(), weight.get(), Floats(rstd),
                           dx.get()});
    return dx;
  }

  std::vector<RocitLoraProjection> Projections(int64_t layer, int first, int count) const {
    std::vector<RocitLoraProjection> list;
    for (int linear = first; linear < first + count; ++linear) {
      const size_t i = layer * kLinears + linear;
      const std::vector<Buffer>& adapters = trained_.adapters.now;
      list.push_back({shape_.Out(linear), shape_.rank, frozen_.linears[i].get(), nullptr, Floats(adapters[2 * i]),
                      Floats(adapters[2 * i + 1]), kScaling, 0, 0});
    }
    return list;
  }

  // `count` linears of one input.
  std::vector<Buffer> Project(int64_t layer, int first, int count, const Buffer& x, Buffer* z) {
    std::vector<Buffer> y;
    std::vector<void*> pointers;
    for (int linear = first; linear < first + count; ++linear) {
      y.push_back(Rows(shape_.Out(linear)));
      pointers.push_back(y.back().get());
    }
    *z = FloatRows(count * shape_.rank);
    const auto projections = Projections(layer, first, count);
    machine_->LoraLinear({dtype_, tokens_, shape_.In(first), count, projections.data(), x.get(), pointers.data(),
                          Floats(*z)});
    return y;
  }

  Buffer ProjectGrad(int64_t layer, int first, const Buffer& x, const Buffer& z, const std::vector<Buffer>& dy, bool wants_dx) {
    std::vector<const void*> pointers;
    std::vector<float*> da, db;
    for (size_t p = 0; p < dy.size(); ++p) {
      const size_t i = layer * kLinears + first + p;
      pointers.push_back(dy[p].get());
      da.push_back(Floats(trained_.gradients[2 * i]));
      db.push_back(Floats(trained_.gradients[2 * i + 1]));
    }
    const int count = static_cast<int>(dy.size());
    const Buffer dx = wants_dx ? Rows(shape_.In(first)) : nullptr;
    const auto projections = Projections(layer, first, count);
    machine_->LoraLinearGrad({dtype_, tokens_, shape_.In(first), count, projections.data(), x.get(), Floats(z),
                              pointers.data(), dx.get(), da.data(), db.data(), nullptr, nullptr});
    return dx;
  }

  // Of queries and keys.
  std::pair<Buffer, Buffer> Rotate(const Buffer& q, const Buffer& k, int direction) {
    const int64_t width = shape_.query_width(), key_width = shape_.key_width();
    const Buffer turned_q = Rows(width), turned_k = Rows(key_width);
    machine_->Rope({dtype_, tokens_, shape_.head_dim, shape_.head_dim, 0, direction, Ints(position_ids_),
                    Floats(inv_freq_), 2,
                    {{shape_.heads, width, width, q.get(), turned_q.get()},
                     {shape_.key_heads, key_width, key_width, k.get(), turned_k.get()}}});
    return {turned_q, turned_k};
  }

  RocitTreeAttentionInputs AttentionInputs(const Saved& block) const {
    return {dtype_, tokens_, tokens_, shape_.heads, shape_.key_heads, shape_.head_dim, 0,
            1 / std::sqrt(static_cast<float>(shape_.head_dim)), Ints(subtree_end_), block.q.get(), block.k.get(),
            block.v.get()};
  }

  // From the block's inputs to its branch, saving all that the backward reads.
  Buffer Forward(int64_t layer, Saved* block) {
    const Buffer& first = block->branch ? block->branch : block->residual;
    Normed normed = Norm(first, block->branch ? block->residual : nullptr, frozen_.norms[2 * layer]);
    std::tie(block->y1, block->sum1, block->rstd1) = std::tie(normed.y, normed.sum, normed.rstd);
    std::vector<Buffer> qkv = Project(layer, kQuery, 3, block->y1, &block->z_qkv);
    std::tie(block->q, block->k) = Rotate(qkv[0], qkv[1], 1);
    block->v = qkv[2];
    qkv.clear();
    block->attended = Rows(shape_.query_width());
    block->lse = FloatRows(shape_.heads);
    machine_->TreeAttention({AttentionInputs(*block), block->attended.get(), Floats(block->lse)});
    const Buffer output = Project(layer, kOutput, 1, block->attended, &block->z_output)[0];
    normed = Norm(output, block->sum1, frozen_.norms[2 * layer + 1]);
    std::tie(block->y2, block->sum2, block->rstd2) = std::tie(normed.y, normed.sum, normed.rstd);
    const std::vector<Buffer> gate_up = Project(layer, kGate, 2, block->y2, &block->z_gate_up);
    std::tie(block->gate, block->up) = std::tie(gate_up[0], gate_up[1]);
    const int64_t width = shape_.intermediate;
    block->product = Rows(width);
    machine_->Swiglu({dtype_, tokens_, width, width, width, width, block->gate.get(), block->up.get(), block->product.get()});
    return Project(layer, kDown, 1, block->product, &block->z_down)[0];
  }

  // `gradient` is that of the branch and of the residual stream behind the block; returns the one before it.
  Buffer Backward(int64_t layer, Saved* block, Buffer gradient) {
    const int64_t width = shape_.intermediate;
    Buffer d_product = ProjectGrad(layer, kDown, block->product, block->z_down, {gradient}, true);
    std::vector<Buffer> d_gate_up = {Rows(width), Rows(width)};
    machine_->SwigluGrad({dtype_, tokens_, width, width, width, width, width, width, d_product.get(), block->gate.get(),
                          block->up.get(), d_gate_up[0].get(), d_gate_up[1].get()});
    d_product = block->gate = block->up = block->product = nullptr;
    const Buffer dy2 = ProjectGrad(layer, kGate, block->y2, block->z_gate_up, d_gate_up, true);
    d_gate_up.clear();
    gradient = NormGrad(dy2, gradient, block->sum2, block->rstd2, frozen_.norms[2 * layer + 1]);
    const Buffer d_attended = ProjectGrad(layer, kOutput, block->attended, block->z_output, {gradient}, true);
    Buffer dq = Rows(shape_.query_width()), dk = Rows(shape_.key_width()), dv = Rows(shape_.key_width());
    machine_->TreeAttentionGrad({AttentionInputs(*block), d_attended.get(), block->attended.get(), Floats(block->lse),
                                 dq.get(), dk.get(), dv.get(), nullptr});
    std::tie(dq, dk) = Rotate(dq, dk, -1);
    const bool is_first = layer == 0;
    const Buffer dy1 = ProjectGrad(layer, kQuery, block->y1, block->z_qkv, {dq, dk, dv}, !is_first);
    return is_first ? nullptr : NormGrad(dy1, gradient, block->sum1, block->rstd1, frozen_.norms[2 * layer]);
  }

  // The last norm and the loss; the gradient of the last branch and of the residual stream.
  Buffer Head(const Buffer& branch, const Buffer& residual) {
    const Normed normed = Norm(branch, residual, frozen_.norms.back());
    const Buffer dy = Rows(shape_.hidden);
    machine_->LinearCrossEntropy({dtype_, tokens_, shape_.hidden, shape_.vocab, num_edges_, normed.y.get(),
                                  frozen_.head.get(), Ints(edge_rows_), Ints(edge_targets_), Floats(edge_weights_),
                                  Floats(loss_), Floats(edge_losses_), dy.get()});
    return NormGrad(dy, nullptr, normed.sum, normed.rstd, frozen_.norms.back());
  }

  Machine* machine_;
  Shape shape_;
  RocitDtype dtype_;
  int64_t tokens_, num_edges_ = 0;
  check::Random random_;
  Buffer ids_, position_ids_, subtree_end_, edge_rows_, edge_targets_, edge_weights_, inv_freq_, loss_, edge_losses_, stats_;
  Frozen frozen_;
  Trained trained_;
};

}  // namespace llama

#endif  // ROCIT_BENCH_LLAMA_STEP_H_
