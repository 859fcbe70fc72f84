// Shared prefixes change nothing: loss, every LoRA gradient, ten steps and each sample's own loss are those of the
// samples one by one, in our own runs over random trees and against PyTorch + PEFT.
import { beforeAll, describe, expect, it } from 'vitest';
import { createRng } from '../../src/core/rng.ts';
import { type PackSettings, packStep } from '../../src/data/pack.ts';
import type { TokenizedSample, TreeBatch } from '../../src/data/sample.ts';
import { valueAndGradients } from '../../src/engine/autograd.ts';
import { linearCrossEntropy } from '../../src/engine/ops/linear_cross_entropy.ts';
import * as p from '../../src/engine/primitives.ts';
import { startEngine, withoutKernels } from '../../src/engine/runtime.ts';
import { readFloats, scopeAsync, type Tensor } from '../../src/engine/tensor.ts';
import type { CausalLM } from '../../src/models/causal_lm.ts';
import { loadAdapterInto } from '../../src/models/load.ts';
import { sampleLosses } from '../../src/models/sample_losses.ts';
import { loraParameters } from '../../src/nn/lora.ts';
import { trainStep } from '../../src/training/step.ts';
import { openGolden } from '../models/golden.ts';
import { relativeError } from '../reference/relative_error.ts';
import { goldenModel } from '../support/goldens.ts';
import { inRepository } from '../support/paths.ts';
import { stepArguments } from './tiny_packs.ts';

const TOLERANCE = 1e-5;
const VOCAB_SIZE = 150;
const STRATEGIES: PackSettings['strategy'][] = ['tree', 'sequence', 'none'];

beforeAll(async () => {
  await startEngine();
});

/** Roles, questions and answers of random lengths; some answers begin alike, some stand twice, some are weighted. */
function randomTree(seed: number): TokenizedSample[] {
  const rng = createRng(seed, 'tree');
  const piece = (most: number) => Array.from({ length: 1 + rng.int(most) }, () => rng.int(VOCAB_SIZE));
  const samples: TokenizedSample[] = [];
  const add = (prompt: number[], answer: number[], labels: { role: string; question_id: number }) => {
    const input_ids = Int32Array.from([...prompt, ...answer]);
    const is_target = Uint8Array.from(input_ids, (_, t) => (t >= prompt.length && rng.int(8) > 0 ? 1 : 0));
    is_target[input_ids.length - 1] = 1;
    const rest = { question: '', answer_index: samples.length, row: samples.length + 1 };
    samples.push({ input_ids, is_target, ...labels, ...rest, ...(rng.int(3) === 0 && { weight: 0.5 }) });
  };
  const start = piece(3);
  for (let role = 0; role < 1 + rng.int(3); role++) {
    const instruction = [...start, ...piece(20)];
    for (let question = 0; question < 1 + rng.int(4); question++) {
      const prompt = [...instruction, ...piece(8)];
      const labels = { role: `role ${role}`, question_id: 10 * role + question };
      let answer = piece(12);
      for (let i = 0; i < 1 + rng.int(4); i++) {
        add(prompt, answer, labels);
        answer = rng.int(2) === 0 ? piece(12) : [...answer.slice(0, 1 + rng.int(answer.length)), ...piece(5)];
        if (rng.int(6) === 0) add(prompt, answer, labels);
      }
    }
  }
  return samples;
}

function packed(samples: readonly TokenizedSample[], strategy: PackSettings['strategy']): TreeBatch[] {
  return packStep(samples, { strategy, max_tokens_per_pack: 64 });
}

interface LossAndGradients {
  loss: number;
  gradients: Map<string, Float32Array>;
}

/** Σ weight · loss over all packs and its gradients. */
async function lossAndGradients(model: CausalLM, packs: readonly TreeBatch[]): Promise<LossAndGradients> {
  return scopeAsync(async () => {
    let loss = 0;
    const sums = new Map<string, Tensor>();
    for (const pack of packs) {
      const { value, gradients } = await valueAndGradients(async () => {
        const x = await model.forward(pack, { recompute: 'none', dropoutSeed: null });
        return linearCrossEntropy({ ...pack, x, weight: model.headWeight }).loss;
      });
      loss += readFloats(value)[0] as number;
      for (const [name, parameter] of loraParameters(model.linears)) {
        const gradient = gradients.get(parameter) as Tensor;
        const before = sums.get(name);
        sums.set(name, before === undefined ? gradient : p.add(before, gradient));
      }
    }
    return { loss, gradients: new Map([...sums].map(([name, t]) => [name, readFloats(t)])) };
  });
}

/** Largest relative error of the loss and of any gradient tensor. */
function largestError(got: LossAndGradients, expected: LossAndGradients): number {
  expect([...got.gradients.keys()]).toEqual([...expected.gradients.keys()]);
  const errors = [...got.gradients].map(([name, g]) => relativeError(g, expected.gradients.get(name) ?? []));
  return Math.max(Math.abs(got.loss / expected.loss - 1), ...errors);
}

async function lossesOf(model: CausalLM, packs: readonly TreeBatch[]): Promise<Map<number, number>> {
  const losses = new Map<number, number>();
  for (const pack of packs) {
    for (const [i, { loss_sum }] of await sampleLosses(model, pack)) losses.set(i, loss_sum);
  }
  return losses;
}

/** Of ten steps, each on the packs of the next list. */
async function tenLosses(lists: readonly (readonly TreeBatch[])[]): Promise<number[]> {
  const args = stepArguments(goldenModel('gqa_tied', { adapter: true }), { learning_rate: 3e-3 });
  const losses: number[] = [];
  for (let step = 0; step < 10; step++) {
    losses.push((await trainStep(lists[step % lists.length] as TreeBatch[], args)).loss);
  }
  return losses;
}

describe('shared prefixes, over random trees', () => {
  const trees = Array.from({ length: 25 }, (_, seed) => randomTree(seed));

  it.each([
    ['by kernels', <T>(fn: () => Promise<T>) => fn()],
    ['by compositions', withoutKernels],
  ] as const)('give the loss and every LoRA gradient of the samples one by one, %s', async (way, compute) => {
    const model = goldenModel('gqa_tied', { adapter: true });
    const [worst, tokens]: [number[], { tree: number; none: number }] = [[], { tree: 0, none: 0 }];
    for (const samples of trees) {
      const [tree, none] = [packed(samples, 'tree'), packed(samples, 'none')];
      const shared = await compute(() => lossAndGradients(model, tree));
      worst.push(largestError(shared, await compute(() => lossAndGradients(model, none))));
      tokens.tree += tree.reduce((sum, pack) => sum + pack.input_ids.length, 0);
      tokens.none += none.reduce((sum, pack) => sum + pack.input_ids.length, 0);
    }
    console.info(
      `tree against none ${way}: largest relative error ${Math.max(...worst).toExponential(1)}, tokens ${JSON.stringify(tokens)}`,
    );
    expect(Math.max(...worst)).toBeLessThan(TOLERANCE);
    expect(tokens.tree * 2).toBeLessThan(tokens.none);
  });

  it('give each sample its own loss', async () => {
    const model = goldenModel('gqa_tied', { adapter: true });
    for (const samples of trees) {
      const [tree, none] = [
        await lossesOf(model, packed(samples, 'tree')),
        await lossesOf(model, packed(samples, 'none')),
      ];
      expect(tree.size).toBe(samples.length);
      for (const [i, loss] of none) expect(Math.abs((tree.get(i) ?? 0) / loss - 1)).toBeLessThan(TOLERANCE);
    }
  });

  it.each([
    ['the same tree', trees.slice(0, 1)],
    ['ten different trees', trees.slice(0, 10)],
  ])('give the losses of ten steps of AdamW over %s, as sequences do', async (_, lists) => {
    const lossesBy = (strategy: PackSettings['strategy']) =>
      tenLosses(lists.map((samples) => packed(samples, strategy)));
    const none = await lossesBy('none');
    if (lists.length === 1) expect((none[9] ?? 0) / (none[0] ?? 0)).toBeLessThan(0.95);
    for (const strategy of ['tree', 'sequence'] as const) {
      expect(relativeError(await lossesBy(strategy), none)).toBeLessThan(TOLERANCE);
    }
  });
});

describe('shared prefixes against PyTorch + PEFT, one sample a forward', () => {
  const golden = openGolden('llama_tree');
  const { batch, num_targets, loss, sample_losses, adamw } = golden.json;
  const samples = batch.map(({ input_ids, is_target }, i) => ({
    ...{ input_ids: Int32Array.from(input_ids), is_target: Uint8Array.from(is_target) },
    ...{ role: 'role', question: '', question_id: i, answer_index: 0, row: i + 1 },
  }));
  const packs = packStep(samples, { strategy: 'tree', max_tokens_per_pack: 50 });

  it('packs two trees that share most of their tokens', () => {
    const rows = packs.map(({ input_ids }) => input_ids.length);
    expect(packs).toHaveLength(2);
    expect(2 * (rows[0] as number) + 2 * (rows[1] as number)).toBeLessThan(
      samples.reduce((sum, { input_ids }) => sum + input_ids.length - 1, 0) + 20,
    );
  });

  it("give PEFT's loss, every LoRA gradient and each sample's loss", async () => {
    const model = goldenModel('tree', { adapter: true });
    const ours = await lossAndGradients(model, packs);
    expect(Math.abs(ours.loss / num_targets / loss - 1)).toBeLessThan(TOLERANCE);
    const errors = [...ours.gradients].map(([name, gradient]) =>
      relativeError(
        gradient.map((value) => value / num_targets),
        golden.tensor(`grad.${name}`),
      ),
    );
    console.info(`tree against PEFT: largest gradient error ${Math.max(...errors).toExponential(1)}`);
    expect(errors).toHaveLength(golden.names('grad.').length);
    expect(Math.max(...errors)).toBeLessThan(TOLERANCE);
    const losses = await lossesOf(model, packs);
    sample_losses.forEach((expected, i) => {
      expect(Math.abs((losses.get(i) ?? 0) / expected - 1)).toBeLessThan(TOLERANCE);
    });
  });

  it("give PEFT's losses over ten steps of AdamW", async () => {
    const { learning_rate, losses, ...settings } = adamw;
    const args = stepArguments(goldenModel('tree', { adapter: true }), { learning_rate, settings });
    const ours: number[] = [];
    for (let step = 0; step < losses.length; step++) ours.push((await trainStep(packs, args)).loss);
    expect(relativeError(ours, losses)).toBeLessThan(1e-6);
  });
});

describe('dropout over shared prefixes', () => {
  const samples = randomTree(1);

  async function stepsWith(seed: number, strategy: PackSettings['strategy'], lora_dropout = 0.3): Promise<number[]> {
    const model = goldenModel('gqa_tied', { adapter: true });
    loadAdapterInto(model, inRepository('tests', 'goldens', 'llama_gqa_tied', 'adapter'), lora_dropout);
    const args = stepArguments(model, { seed });
    const losses: number[] = [];
    for (let step = 0; step < 3; step++) losses.push((await trainStep(packed(samples, strategy), args)).loss);
    return losses;
  }

  it.each(STRATEGIES)('is a function of the seed: %s', async (strategy) => {
    const losses = await stepsWith(1, strategy);
    expect(await stepsWith(1, strategy)).toEqual(losses);
    expect(await stepsWith(2, strategy)).not.toEqual(losses);
  });

  it('draws one mask a shared token: two equal samples have equal losses, and lie in one row a token', async () => {
    const [sample] = samples as [TokenizedSample];
    const [pack] = packed([sample, sample], 'tree') as [TreeBatch];
    expect(pack.input_ids.length).toBe(sample.input_ids.length - 1);
    const model = goldenModel('gqa_tied', { adapter: true });
    loadAdapterInto(model, inRepository('tests', 'goldens', 'llama_gqa_tied', 'adapter'), 0.3);
    const losses = await scopeAsync(async () => {
      const x = await model.forward(pack, { recompute: 'none', dropoutSeed: 4 });
      return readFloats(linearCrossEntropy({ ...pack, x, weight: model.headWeight }).edge_losses);
    });
    const half = losses.length / 2;
    expect(losses.subarray(0, half)).toEqual(losses.subarray(half));
  });
});
