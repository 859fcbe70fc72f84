// What a run needs of the device's memory, counted from shapes: for `--dry-run`.
import { BYTES } from '../engine/backend.ts';
import { linearCrossEntropyBytes } from '../engine/ops/linear_cross_entropy.ts';
import { liveBytes } from '../engine/tensor.ts';
import type { CausalLM } from '../models/causal_lm.ts';
import { loraParameters } from '../nn/lora.ts';

export interface MemoryEstimate {
  /** Bytes of the frozen weights. */
  weights: number;
  /** Bytes of adapters, their gradients and AdamW's two moments. */
  adapters: number;
  /** Bytes of activations kept for the backward of the largest pack, and of one block at work. */
  activations: number;
  /** Bytes that the output head and the loss take while they run. */
  head: number;
  /** Bytes of the process itself: Node, TensorFlow, prepared data. */
  process: number;
}

export function estimateMemory(model: CausalLM, maxTokens: number, recompute: 'none' | 'block'): MemoryEstimate {
  const weights = model.weights.reduce((sum, t) => sum + t.bytes, 0);
  const adapters = 4 * [...loraParameters(model.linears).values()].reduce((sum, t) => sum + t.bytes, 0);
  const width = BYTES[model.headWeight.dtype];
  const perBlock = maxTokens * blockElements(model) * width;
  const blocks = model.num_hidden_layers;
  const [, hidden = 0] = model.headWeight.shape;
  const stream = maxTokens * hidden * width * blocks * 2;
  return {
    weights,
    adapters,
    activations: recompute === 'block' ? stream + 2 * perBlock : perBlock * (blocks + 1),
    head: linearCrossEntropyBytes(maxTokens, model.headWeight),
    process: Math.max(0, process.memoryUsage().rss - liveBytes()),
  };
}

/**
 * Elements a token leaves in one block for the backward: the output of each linear, whole or in the residual stream, what
 * attention gives, and the adapters' z. With kernels, as a run that counts has them, normed and gated rows are made again.
 */
function blockElements(model: CausalLM): number {
  let elements = 0;
  for (const [path, { weight, lora }] of model.linears) {
    if (!/layers\.0\./.test(path)) continue;
    const [out = 0, input = 0] = weight.shape;
    const attention = path.endsWith('.o_proj') ? input : 0;
    elements += out + attention + (lora?.A.shape[0] ?? 0);
  }
  return elements;
}
