// The tiny models that PyTorch, transformers and PEFT were run on; scripts/make_goldens.py made them.
import { readFileSync } from 'node:fs';
import type { CausalLM } from '../../src/models/causal_lm.ts';
import { loadAdapterInto, loadModel } from '../../src/models/load.ts';
import { inRepository } from './paths.ts';

/** A golden model by its case, e.g. `gqa_tied`, with or without its adapter. The engine must have been started. */
export function goldenModel(name: string, { adapter }: { adapter: boolean }): CausalLM {
  const model = loadModel(inRepository('tests', 'goldens', `llama_${name}`, 'model'), { dtype: 'float32' });
  if (adapter) loadAdapterInto(model, inRepository('tests', 'goldens', `llama_${name}`, 'adapter'));
  return model;
}

/** A JSON file below tests/goldens. */
export function goldenJson(...path: string[]): unknown {
  return JSON.parse(readFileSync(inRepository('tests', 'goldens', ...path), 'utf8'));
}
