// The goldens of transformers and PEFT against the twins chained into a LLaMA: what is written from the formulas and what
// PyTorch computes agree, for every case. Goldens are stored as float32, hence the bounds.
import { describe, expect, it } from 'vitest';
import { adamw } from './adamw.ts';
import { type LoraGradients, runLlama } from './llama.ts';
import { llamaCases, readLlamaFolder } from './llama_golden.ts';
import { relativeError } from './relative_error.ts';

const STORED = 2e-7;
const CASES = llamaCases();

it('finds the goldens', () => {
  expect(CASES).toHaveLength(12);
});

describe.each(CASES)('LLaMA golden %s', (name) => {
  const { golden, expected, ...folder } = readLlamaFolder(name);
  const twin = { ...folder, settings: golden.settings };
  const names = [...folder.adapter.keys()];

  const runBatch = (adapter: typeof folder.adapter): { losses: number[]; gradients: LoraGradients } => {
    const runs = golden.batch.map((sample) => runLlama({ ...twin, adapter }, sample, 1 / golden.num_targets));
    const sums = names.map((key): [string, Float64Array] => {
      const parts = runs.map((run) => run.gradients.get(key)!);
      return [key, parts[0]!.map((_, i) => parts.reduce((total, part) => total + part[i]!, 0))];
    });
    return { losses: runs.map((run) => run.loss), gradients: new Map(sums) };
  };

  it('has the logits and losses of the formulas, with and without the adapter', () => {
    for (const [i, sample] of golden.batch.entries()) {
      const tuned = runLlama(twin, sample, 1);
      const base = runLlama({ ...twin, adapter: new Map() }, sample, 1);
      expect(relativeError(tuned.logits, expected.get(`logits.${i}`)!.values)).toBeLessThan(STORED);
      expect(relativeError(base.logits, expected.get(`logits_base.${i}`)!.values)).toBeLessThan(STORED);
      expect(relativeError([tuned.loss], [golden.sample_losses[i]!])).toBeLessThan(STORED);
      expect(relativeError([base.loss], [golden.sample_losses_base[i]!])).toBeLessThan(STORED);
    }
  });

  it('has the LoRA gradients of the formulas', () => {
    const { gradients } = runBatch(folder.adapter);
    expect(names.length).toBe([...expected.keys()].filter((key) => key.startsWith('grad.')).length);
    for (const key of names) {
      expect(relativeError(gradients.get(key)!, expected.get(`grad.${key}`)!.values)).toBeLessThan(2 * STORED);
    }
  });

  it('has the ten AdamW steps of the formulas', () => {
    let adapter = folder.adapter;
    let m: Float64Array[] = names.map((key) => new Float64Array(adapter.get(key)!.values.length));
    let v = m;
    for (const [i, loss] of golden.adamw.losses.entries()) {
      const { losses, gradients } = runBatch(adapter);
      expect(relativeError([losses.reduce((a, b) => a + b) / golden.num_targets], [loss])).toBeLessThan(STORED);
      const params = names.map((key) => adapter.get(key)!.values);
      const grads = names.map((key) => gradients.get(key)!);
      const next = adamw({ ...golden.adamw, params, grads, m, v, step: i + 1, grad_scale: 1 });
      expect(relativeError([next.grad_norm], [golden.adamw.grad_norms[i]!])).toBeLessThan(2 * STORED);
      ({ m, v } = next);
      adapter = new Map(names.map((key, p) => [key, { ...adapter.get(key)!, values: next.params[p]! }]));
    }
    for (const key of names) {
      expect(relativeError(adapter.get(key)!.values, expected.get(`final.${key}`)!.values)).toBeLessThan(4 * STORED);
    }
  });
});
