import { beforeAll, describe, expect, it } from 'vitest';
import type { TreeBatch } from '../../src/data/sample.ts';
import { parameter, valueAndGradients } from '../../src/engine/autograd.ts';
import { linearCrossEntropy } from '../../src/engine/ops/linear_cross_entropy.ts';
import { startEngine } from '../../src/engine/runtime.ts';
import {
  liveBytes,
  liveTensors,
  own,
  readFloats,
  release,
  scopeAsync,
  type Tensor,
  tensor,
} from '../../src/engine/tensor.ts';
import type { CausalLM } from '../../src/models/causal_lm.ts';
import type { LoraAdapter } from '../../src/nn/linear.ts';
import { type LoraSettings, loraParameters } from '../../src/nn/lora.ts';
import { NonFiniteStep, type OptimizerState, type StepArguments, trainStep } from '../../src/training/step.ts';
import { temporaryFolder } from '../support/temporary.ts';
import { adaptedModel, madeUpSamples, packsOf, stepArguments } from './tiny_packs.ts';

const folder = temporaryFolder();
beforeAll(async () => {
  await startEngine();
});

function valuesOf(tensors: ReadonlyMap<string, Tensor>): Map<string, Float32Array> {
  return new Map([...tensors].map(([name, t]) => [name, readFloats(t)]));
}

/** Parameters and moments as they are. */
function stateOf(model: CausalLM, { step, m, v }: OptimizerState): unknown {
  return { step, parameters: valuesOf(loraParameters(model.linears)), m: valuesOf(m), v: valuesOf(v) };
}

/** max |a − b| over all tensors of two states. */
function distance(a: ReadonlyMap<string, Float32Array>, b: ReadonlyMap<string, Float32Array>): number {
  expect([...a.keys()]).toEqual([...b.keys()]);
  const differences = [...a].flatMap(([name, values]) =>
    [...values].map((value, i) => Math.abs(value - (b.get(name)?.[i] ?? Number.NaN))),
  );
  return Math.max(...differences);
}

async function trained(
  packs: TreeBatch[],
  steps: number,
  changes: Partial<StepArguments> = {},
  lora: Partial<LoraSettings> = {},
) {
  const model = adaptedModel(folder, lora);
  const args = stepArguments(model, changes);
  const results = [];
  for (let i = 0; i < steps; i++) results.push(await trainStep(packs, args));
  return { model, args, results, parameters: valuesOf(loraParameters(model.linears)), m: valuesOf(args.optimizer.m) };
}

/** The logits of each loss edge of a pack, from hidden states and head in float64. */
async function logitsOf(model: CausalLM, pack: TreeBatch): Promise<number[][]> {
  const x = await scopeAsync(async () =>
    readFloats(await model.forward(pack, { recompute: 'none', dropoutSeed: null })),
  );
  const weight = readFloats(model.headWeight);
  const [V = 0, C = 0] = model.headWeight.shape;
  const logit = (row: number, token: number) => {
    let sum = 0;
    for (let c = 0; c < C; c++) sum += (x[row * C + c] as number) * (weight[token * C + c] as number);
    return sum;
  };
  return [...pack.edge_rows].map((row) => Array.from({ length: V }, (_, token) => logit(row, token)));
}

/** Mean −log p of the targets of a pack. */
async function meanByHand(model: CausalLM, pack: TreeBatch): Promise<number> {
  const losses = (await logitsOf(model, pack)).map((logits, edge) => {
    const total = logits.reduce((sum, logit) => sum + Math.exp(logit), 0);
    return Math.log(total) - (logits[pack.edge_targets[edge] as number] as number);
  });
  return losses.reduce((a, b) => a + b, 0) / losses.length;
}

describe('trainStep', () => {
  it('reports the mean over the targets of the whole step', async () => {
    const samples = madeUpSamples(5);
    const [whole] = packsOf(samples, 'sequence');
    const model = adaptedModel(folder);
    const expected = await meanByHand(model, whole as TreeBatch);
    const result = await trainStep(packsOf(samples, 'none'), stepArguments(model));
    expect(result.num_targets).toBe(whole?.edge_rows.length);
    expect(result.loss).toBeCloseTo(expected, 5);
  });

  it('weighs the targets of each sample as it says, and still counts them', async () => {
    const samples = madeUpSamples(3).map((sample, i) => ({ ...sample, weight: 1 / (1 + i) }));
    const model = adaptedModel(folder);
    let [sum, weights, targets] = [0, 0, 0];
    for (const sample of samples) {
      const [pack] = packsOf([sample], 'none') as [TreeBatch];
      sum += (await meanByHand(model, pack)) * pack.edge_rows.length * sample.weight;
      weights += pack.edge_rows.length * sample.weight;
      targets += pack.edge_rows.length;
    }
    const { loss, num_targets } = await trainStep(packsOf(samples, 'tree'), stepArguments(model));
    expect(num_targets).toBe(targets);
    expect(loss).toBeCloseTo(sum / weights, 5);
  });

  it('gives the same step from one pack of four samples as from four packs of one', async () => {
    const samples = madeUpSamples(4);
    expect([packsOf(samples, 'sequence').length, packsOf(samples, 'none').length]).toEqual([1, 4]);
    const one = await trained(packsOf(samples, 'sequence'), 3);
    const four = await trained(packsOf(samples, 'none'), 3);
    one.results.forEach((result, i) => {
      expect(four.results[i]?.loss).toBeCloseTo(result.loss, 6);
      expect(four.results[i]?.grad_norm).toBeCloseTo(result.grad_norm, 5);
    });
    expect(distance(one.m, four.m)).toBeLessThan(1e-6);
    expect(distance(one.parameters, four.parameters)).toBeLessThan(1e-6);
    expect(distance(one.parameters, valuesOf(loraParameters(adaptedModel(folder).linears)))).toBeGreaterThan(1e-3);
  });

  it('gives the same step with recomputed blocks', async () => {
    const packs = packsOf(madeUpSamples(4), 'sequence');
    const [kept, recomputed] = [await trained(packs, 2), await trained(packs, 2, { recompute: 'block' })];
    expect(distance(kept.parameters, recomputed.parameters)).toBeLessThan(1e-6);
  });

  it('keeps no tensor of a step', async () => {
    const packs = packsOf(madeUpSamples(6), 'none');
    const model = adaptedModel(folder, { lora_dropout: 0.1 });
    const args = stepArguments(model);
    await trainStep(packs, args);
    const before = [liveTensors(), liveBytes()];
    for (const recompute of ['none', 'block'] as const) await trainStep(packs, { ...args, recompute });
    expect([liveTensors(), liveBytes()]).toEqual(before);
  });

  it('leaves the frozen weights as they were, bit for bit, and makes gradients of adapters alone', async () => {
    const packs = packsOf(madeUpSamples(3), 'sequence');
    const model = adaptedModel(folder);
    const before = model.weights.map(readFloats);
    await trainStep(packs, stepArguments(model, { learning_rate: 0.1 }));
    expect(model.weights.map(readFloats)).toEqual(before);
    await scopeAsync(async () => {
      const { gradients } = await valueAndGradients(async () => {
        const [pack] = packs as [TreeBatch];
        const x = await model.forward(pack, { recompute: 'none', dropoutSeed: 1 });
        return linearCrossEntropy({ ...pack, x, weight: model.headWeight }).loss;
      });
      expect(new Set(gradients.keys())).toEqual(new Set(loraParameters(model.linears).values()));
    });
    expect(model.weights.some((t) => t.requiresGrad)).toBe(false);
  });

  it('says how far it is, from below to the end', async () => {
    const shares: number[] = [];
    const onProgress = (share: number) => shares.push(share);
    await trainStep(packsOf(madeUpSamples(3), 'none'), stepArguments(adaptedModel(folder), { onProgress }));
    expect(shares).toEqual(shares.toSorted((a, b) => a - b));
    expect(shares.length).toBeGreaterThan(30);
    expect(shares.at(-1)).toBeCloseTo(1, 9);
  });

  it('learns one sample by heart: every target becomes the likeliest token', async () => {
    const [pack] = packsOf(madeUpSamples(1, 10), 'sequence') as [TreeBatch];
    const likeliest = async (model: CausalLM) =>
      (await logitsOf(model, pack)).map((logits) => logits.indexOf(Math.max(...logits)));
    expect(await likeliest(adaptedModel(folder))).not.toEqual([...pack.edge_targets]);
    const { model, results } = await trained([pack], 40, { learning_rate: 0.01 });
    expect(await likeliest(model)).toEqual([...pack.edge_targets]);
    expect(results.at(-1)?.loss).toBeLessThan((results[0]?.loss ?? 0) - 2);
  });
});

describe('a step that is not finite', () => {
  /** A model after some steps with one adapter broken; what the next step throws; the state before and after. */
  async function broken(spoil: (lora: LoraAdapter) => void, steps: number, strategy: 'sequence' | 'none') {
    const packs = packsOf(madeUpSamples(16, 60), strategy);
    const { model, args } = await trained(packs, steps);
    const linear = model.linears.get('model.layers.1.mlp.down_proj');
    if (linear?.lora == null) throw new Error('the model lacks the layer');
    spoil(linear.lora);
    const before = { state: stateOf(model, args.optimizer), live: liveTensors() };
    const error = await trainStep(packs, args).catch((thrown: unknown) => thrown);
    const after = { state: stateOf(model, args.optimizer), live: liveTensors() };
    return { error: error as NonFiniteStep, before, after };
  }

  function spoilB(lora: LoraAdapter): void {
    release(lora.B);
    lora.B = parameter(own(tensor(new Float32Array(lora.B.size).fill(Number.POSITIVE_INFINITY), lora.B.shape)));
  }

  function spoilScaling(lora: LoraAdapter): void {
    lora.scaling = 3e38;
  }

  it('in its loss leaves parameters and optimizer bit-identical and names the micro-batch', async () => {
    const { error, before, after } = await broken(spoilB, 2, 'none');
    expect(error).toBeInstanceOf(NonFiniteStep);
    expect([error.message, error.pack]).toMatchInlineSnapshot(`
      [
        "loss NaN in micro-batch 1 of 16",
        0,
      ]
    `);
    expect(after).toEqual(before);
  });

  it('in a gradient alone leaves parameters and optimizer bit-identical and names the tensor', async () => {
    // B is still zero, so the loss is finite; its gradient overflows.
    const { error, before, after } = await broken(spoilScaling, 0, 'sequence');
    expect(error).toBeInstanceOf(NonFiniteStep);
    expect([error.message, error.pack]).toMatchInlineSnapshot(`
      [
        "a gradient that is not finite in model.layers.1.mlp.down_proj.lora_B.weight",
        null,
      ]
    `);
    expect(after).toEqual(before);
  });
});
