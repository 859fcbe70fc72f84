// The tiny model with adapters, and packs of made-up samples for it.
import { createRng } from '../../src/core/rng.ts';
import { type PackSettings, packStep } from '../../src/data/pack.ts';
import type { TokenizedSample, TreeBatch } from '../../src/data/sample.ts';
import type { CausalLM } from '../../src/models/causal_lm.ts';
import { loadModel } from '../../src/models/load.ts';
import { addLora, type LoraSettings } from '../../src/nn/lora.ts';
import { initialOptimizerState, type StepArguments } from '../../src/training/step.ts';
import { writeTinyModel } from '../support/tiny_model.ts';

const VOCAB_SIZE = 512;

/** The engine must have been started. */
export function adaptedModel(folder: string, lora: Partial<LoraSettings> = {}): CausalLM {
  const model = loadModel(writeTinyModel(folder), { dtype: 'float32' });
  const settings = { r: 4, lora_alpha: 8, lora_dropout: 0, target_modules: 'all-linear', use_rslora: false } as const;
  addLora(model.linears, { ...settings, ...lora }, 0);
  return model;
}

/** `count` samples of `length` tokens and more; the second half of each is learnt. */
export function madeUpSamples(count: number, length = 12): TokenizedSample[] {
  return Array.from({ length: count }, (_, i) => {
    const rng = createRng(0, 'sample', i);
    const T = length + rng.int(6);
    return {
      input_ids: Int32Array.from({ length: T }, () => rng.int(VOCAB_SIZE)),
      is_target: Uint8Array.from({ length: T }, (_, t) => (t >= T / 2 ? 1 : 0)),
      ...{ role: 'Mara', question_id: i, answer_index: 0, question: `question ${i}`, row: i + 1 },
    };
  });
}

export function packsOf(samples: readonly TokenizedSample[], strategy: PackSettings['strategy']): TreeBatch[] {
  return packStep(samples, { strategy, max_tokens_per_pack: 4096 });
}

export function stepArguments(model: CausalLM, changes: Partial<StepArguments> = {}): StepArguments {
  return {
    model,
    optimizer: initialOptimizerState(model),
    settings: { betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0, max_grad_norm: 1 },
    learning_rate: 1e-3,
    recompute: 'none',
    seed: 0,
    onProgress: () => {},
    ...changes,
  };
}
