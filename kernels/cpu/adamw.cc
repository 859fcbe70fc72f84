// adamw on the CPU: all tensors are cut into chunks of one size; threads take chunks. Two passes: norm, then update.
// Bound by memory: the update reads four arrays and writes three.
#include "adamw.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "elements.h"
#include "parallel.h"

namespace rocit {

struct AdamwFactors {
  float scale, beta1, beta2, rest1, rest2, decay, step, root, eps;
};

struct AdamwChunk {
  int64_t tensor, count;
  const float *p, *g, *m, *v;
  float *new_p, *new_m, *new_v;
};

}  // namespace rocit

#define ROCIT_LOOPS "adamw_loops.h"
#include "each_path.h"

namespace {

using rocit::AdamwChunk;
using rocit::AdamwFactors;

constexpr int64_t kChunk = 16384;

std::vector<AdamwChunk> MakeChunks(const RocitAdamwArgs& args) {
  std::vector<AdamwChunk> chunks;
  for (int64_t t = 0; t < args.num_tensors; ++t) {
    for (int64_t at = 0; at < args.sizes[t]; at += kChunk) {
      chunks.push_back({t, std::min(kChunk, args.sizes[t] - at), args.params[t] + at, args.grads[t] + at, args.m[t] + at,
                        args.v[t] + at, args.new_params[t] + at, args.new_m[t] + at, args.new_v[t] + at});
    }
  }
  return chunks;
}

void CopyChunk(const AdamwChunk& chunk) {
  std::memcpy(chunk.new_p, chunk.p, chunk.count * sizeof(float));
  std::memcpy(chunk.new_m, chunk.m, chunk.count * sizeof(float));
  std::memcpy(chunk.new_v, chunk.v, chunk.count * sizeof(float));
}

AdamwFactors MakeFactors(const RocitAdamwArgs& a, double grad_norm) {
  const double clip = a.max_grad_norm > 0 ? std::min(1.0, a.max_grad_norm / (grad_norm + 1e-6)) : 1.0;
  const auto single = [](double value) { return static_cast<float>(value); };
  return {single(a.grad_scale * clip),
          single(a.beta1),
          single(a.beta2),
          single(1 - a.beta1),
          single(1 - a.beta2),
          single(1 - a.learning_rate * a.weight_decay),
          single(a.learning_rate / a.bias_correction1),
          single(1 / std::sqrt(a.bias_correction2)),
          single(a.eps)};
}

}  // namespace

RocitAdamwResult rocit_adamw(const RocitAdamwArgs* args, const RocitParallel* parallel) {
  const std::vector<AdamwChunk> chunks = MakeChunks(*args);
  const int64_t count = static_cast<int64_t>(chunks.size());
  std::vector<double> squares(chunks.size());
  rocit::ParallelFor(parallel, count, kChunk / 8, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) squares[i] = ROCIT_DISPATCH(SumOfSquares, chunks[i].g, chunks[i].count);
  });
  RocitAdamwResult result = {0, -1};
  double total = 0;
  for (int64_t i = 0; i < count; ++i) {
    if (!std::isfinite(squares[i]) && result.bad_tensor < 0) result.bad_tensor = chunks[i].tensor;
    total += squares[i];
  }
  result.grad_norm = std::fabs(args->grad_scale) * std::sqrt(total);
  const bool is_bad = result.bad_tensor >= 0;
  const AdamwFactors factors = MakeFactors(*args, result.grad_norm);
  rocit::ParallelFor(parallel, count, kChunk, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      if (is_bad) {
        CopyChunk(chunks[i]);
      } else {
        ROCIT_DISPATCH(UpdateChunk, factors, chunks[i]);
      }
    }
  });
  return result;
}
