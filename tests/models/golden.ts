// The goldens of scripts/make_goldens.py: tiny LLaMA models with adapters and what PyTorch, transformers and PEFT make
// of them, in float64. And running ours on the same samples.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readNamed } from '../../src/checkpoint/hf_folder.ts';
import { readSafetensorsHeader, type TensorInfo } from '../../src/checkpoint/safetensors.ts';
import { valueAndGradients } from '../../src/engine/autograd.ts';
import { adamw } from '../../src/engine/ops/adamw.ts';
import { linearCrossEntropy } from '../../src/engine/ops/linear_cross_entropy.ts';
import * as p from '../../src/engine/primitives.ts';
import { own, readFloats, release, scope, scopeAsync, type Tensor } from '../../src/engine/tensor.ts';
import type { CausalLM, ForwardOptions } from '../../src/models/causal_lm.ts';
import { loadAdapterInto, loadModel } from '../../src/models/load.ts';
import { loraParameters, replaceLoraParameters } from '../../src/nn/lora.ts';
import { inRepository } from '../support/paths.ts';

export interface Sample {
  input_ids: number[];
  is_target: number[];
}

interface Errors {
  logits: number;
  grads: number;
  loss: number;
}

export interface GoldenJson {
  magic: string;
  version: number;
  settings: { r: number; target_modules: string | string[] };
  batch: Sample[];
  num_targets: number;
  loss: number;
  sample_losses: number[];
  sample_losses_base: number[];
  adamw: {
    learning_rate: number;
    betas: [number, number];
    eps: number;
    weight_decay: number;
    max_grad_norm: number;
    losses: number[];
    grad_norms: number[];
  };
  float32_error: Errors & { adamw_losses: number; final: number };
  /** How far PyTorch's own bfloat16 run is from the truth. */
  bfloat16?: { error: Errors };
}

export interface Golden {
  name: string;
  model: string;
  adapter: string;
  json: GoldenJson;
  tensor(name: string): Float32Array;
  names(prefix: string): string[];
}

const FOLDER = inRepository('tests', 'goldens');

export function goldenNames(): string[] {
  return readdirSync(FOLDER).filter((name) => name.startsWith('llama_'));
}

export function openGolden(name: string): Golden {
  const folder = join(FOLDER, name);
  const json = JSON.parse(readFileSync(join(folder, 'golden.json'), 'utf8')) as GoldenJson;
  if (json.magic !== 'rocit-golden-llama' || json.version !== 1)
    throw new Error(`${folder}: not a golden of version 1`);
  const { tensors } = readSafetensorsHeader(join(folder, 'golden.safetensors'));
  return {
    name,
    model: join(folder, 'model'),
    adapter: join(folder, 'adapter'),
    json,
    tensor: (key) => scope(() => readFloats(readNamed(tensors.get(key) as TensorInfo, 'float32'))),
    names: (prefix) => [...tensors.keys()].filter((key) => key.startsWith(prefix)),
  };
}

/** Loads a golden's model, with its adapter or bare, for `use`; frees it afterwards. */
export async function withModel<T>(
  golden: Golden,
  { dtype = 'float32', adapter = true }: { dtype?: 'float32' | 'bfloat16'; adapter?: boolean },
  use: (model: CausalLM) => Promise<T>,
): Promise<T> {
  const model = loadModel(golden.model, { dtype });
  try {
    if (adapter) scope(() => loadAdapterInto(model, golden.adapter));
    return await use(model);
  } finally {
    model.weights.forEach(release);
    for (const t of loraParameters(model.linears).values()) release(t);
  }
}

/** Samples one after the other, none seeing another, every token a row. */
export function packSamples(samples: readonly Sample[]) {
  const input_ids: number[] = [];
  const position_ids: number[] = [];
  const subtree_end: number[] = [];
  const edge_rows: number[] = [];
  for (const sample of samples) {
    const begin = input_ids.length;
    const end = begin + sample.input_ids.length;
    sample.input_ids.forEach((id, i) => {
      input_ids.push(id);
      position_ids.push(i);
      subtree_end.push(end);
      if (sample.is_target[i + 1]) edge_rows.push(begin + i);
    });
  }
  return {
    input_ids: Int32Array.from(input_ids),
    position_ids: Int32Array.from(position_ids),
    subtree_end: Int32Array.from(subtree_end),
    edge_rows: Int32Array.from(edge_rows),
    edge_targets: Int32Array.from(edge_rows, (row) => input_ids[row + 1] as number),
  };
}

type Options = Partial<ForwardOptions>;

/** Logits of every token, [tokens · V]. */
export async function logitsOf(model: CausalLM, samples: readonly Sample[]): Promise<Float32Array> {
  return scopeAsync(async () => {
    const x = await model.forward(packSamples(samples), { recompute: 'none', dropoutSeed: null });
    return readFloats(p.matMul(x, model.headWeight, { transposeB: true }));
  });
}

export interface StepValues {
  /** Mean over the targets. */
  loss: number;
  grads: Map<string, Float32Array>;
}

/** Loss and gradients of the mean over all targets, accumulated over micro-batches. The gradients are tensors. */
async function accumulate(model: CausalLM, packs: readonly Sample[][], options: Options) {
  const num_targets = packs.flat().reduce((total, { is_target }) => total + is_target.reduce((a, b) => a + b, 0), 0);
  let loss = 0;
  const grads = new Map<string, Tensor>();
  for (const samples of packs) {
    const { edge_rows, edge_targets, ...pack } = packSamples(samples);
    const { value, gradients } = await valueAndGradients(async () => {
      const x = await model.forward(pack, { recompute: 'none', dropoutSeed: null, ...options });
      const edge_weights = new Float32Array(edge_rows.length).fill(1);
      return linearCrossEntropy({ x, weight: model.headWeight, edge_rows, edge_targets, edge_weights }).loss;
    });
    loss += readFloats(value)[0] as number;
    for (const [name, parameter] of loraParameters(model.linears)) {
      const before = grads.get(name);
      const gradient = gradients.get(parameter) as Tensor;
      grads.set(name, before === undefined ? gradient : p.add(before, gradient));
    }
  }
  return { loss: loss / num_targets, grads, grad_scale: 1 / num_targets };
}

export async function gradientsOf(
  model: CausalLM,
  packs: readonly Sample[][],
  options: Options = {},
): Promise<StepValues> {
  return scopeAsync(async () => {
    const { loss, grads, grad_scale } = await accumulate(model, packs, options);
    return { loss, grads: new Map([...grads].map(([name, t]) => [name, readFloats(t).map((g) => g * grad_scale)])) };
  });
}

/** AdamW steps on one batch: the loss before each of them and the gradient norms; the model keeps the new adapter. */
export async function runSteps(model: CausalLM, packs: readonly Sample[][], settings: GoldenJson['adamw'], steps = 10) {
  const [losses, grad_norms]: [number[], number[]] = [[], []];
  await scopeAsync(async () => {
    const zeros = () => [...loraParameters(model.linears).values()].map(p.zerosLike);
    let [m, v] = [zeros(), zeros()];
    for (let step = 1; step <= steps; step++) {
      const { loss, grads, grad_scale } = await accumulate(model, packs, {});
      const params = [...loraParameters(model.linears).values()];
      const updated = adamw({ ...settings, params, grads: [...grads.values()], m, v, step, grad_scale });
      replaceLoraParameters(model.linears, updated.params.map(own));
      [m, v] = [updated.m, updated.v];
      losses.push(loss);
      grad_norms.push(updated.grad_norm);
    }
  });
  return { losses, grad_norms };
}
