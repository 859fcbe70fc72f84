// Our forward on the real weights against transformers' own loader of the same GGUF file; the goldens are made by
// scripts/make_gguf_goldens.py.
import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { loadTokenizer } from '../../src/data/tokenizer.ts';
import { startEngine } from '../../src/engine/runtime.ts';
import { release } from '../../src/engine/tensor.ts';
import { loadModel } from '../../src/models/load.ts';
import { logitsOf } from '../models/golden.ts';
import { inRepository } from '../support/paths.ts';
import { BASE, FETCH_LIMIT, fetchBase } from './smollm2.ts';

interface Golden {
  input_ids: number[];
  /** The ten likeliest tokens after the input, likeliest first, and their logits. */
  top_ids: number[];
  top_logits: number[];
  tokens: { text: string; ids: number[] }[];
}

const path = inRepository('tests', 'checkpoint', 'goldens', 'smollm2_135m_instruct.json');
const golden = JSON.parse(readFileSync(path, 'utf8')) as Golden;

async function lastLogits(dtype: 'float32' | 'bfloat16'): Promise<Float32Array> {
  const model = loadModel(BASE, { dtype });
  try {
    const logits = await logitsOf(model, [{ input_ids: golden.input_ids, is_target: [] }]);
    return logits.slice(-(model.headWeight.shape[0] as number));
  } finally {
    model.weights.forEach(release);
  }
}

/** max|a - b| / max|b| over the golden's ten tokens. */
function errorOf(logits: Float32Array): number {
  const differences = golden.top_ids.map((id, i) =>
    Math.abs((logits[id] as number) - (golden.top_logits[i] as number)),
  );
  return Math.max(...differences) / Math.max(...golden.top_logits.map(Math.abs));
}

function likeliest(logits: Float32Array, count: number): number[] {
  return Array.from(logits.keys())
    .sort((a, b) => (logits[b] as number) - (logits[a] as number))
    .slice(0, count);
}

beforeAll(async () => {
  await fetchBase();
  await startEngine();
}, FETCH_LIMIT);

describe('SmolLM2-135M-Instruct', () => {
  it('has the logits of transformers in float32, within 1e-4 of the largest', async () => {
    const logits = await lastLogits('float32');
    const error = errorOf(logits);
    console.log(`logits in float32: max|a-b|/max|b| = ${error.toExponential(2)} (limit 1e-4)`);
    expect(likeliest(logits, golden.top_ids.length)).toEqual(golden.top_ids);
    expect(error).toBeLessThan(1e-4);
  });

  it('has nearly the same logits in bfloat16', async () => {
    const logits = await lastLogits('bfloat16');
    const error = errorOf(logits);
    console.log(`logits in bfloat16: max|a-b|/max|b| = ${error.toExponential(2)} (limit 2e-2)`);
    expect(logits.every(Number.isFinite)).toBe(true);
    expect(golden.top_ids.slice(0, 4)).toContain(likeliest(logits, 1)[0]);
    expect(error).toBeGreaterThan(1e-5);
    expect(error).toBeLessThan(2e-2);
  });

  it('has the token ids of llama.cpp', async () => {
    const tokenizer = await loadTokenizer(BASE);
    const encoded = await tokenizer.encode(golden.tokens.map(({ text }) => text));
    const ids = golden.tokens.map(({ text }, i) => ({ text, ids: [...(encoded[i] ?? [])] }));
    expect(ids.length).toBeGreaterThan(10);
    expect(ids).toEqual(golden.tokens);
  });
});
