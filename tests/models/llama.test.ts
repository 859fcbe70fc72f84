// What a LLaMA with adapters promises beyond parity: samples apart, accumulation, recompute, frozen weights, bfloat16.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startEngine, withoutKernels } from '../../src/engine/runtime.ts';
import { liveTensors, readFloats, scope } from '../../src/engine/tensor.ts';
import type { CausalLM } from '../../src/models/causal_lm.ts';
import { addLora, loraParameters } from '../../src/nn/lora.ts';
import { relativeError } from '../reference/relative_error.ts';
import { gradientsOf, logitsOf, openGolden, runSteps, type Sample, type StepValues, withModel } from './golden.ts';
import { measure } from './parity.ts';

const golden = openGolden('llama_gqa_tied');
const { batch, adamw } = golden.json;
const settings = { r: 3, lora_alpha: 6, lora_dropout: 0, target_modules: 'all-linear', use_rslora: false } as const;

beforeAll(async () => {
  const { backend, kernels } = await startEngine();
  console.info(`models on ${backend}, kernels: ${kernels.join(', ') || 'none'}`);
});
afterAll(() => expect(liveTensors()).toBe(0));

/** The largest relative error of loss and gradients. */
function difference(got: StepValues, expected: StepValues): number {
  expect([...got.grads.keys()]).toEqual([...expected.grads.keys()]);
  const grads = [...got.grads].map(([name, grad]) => relativeError(grad, expected.grads.get(name) ?? []));
  return Math.max(Math.abs(got.loss / expected.loss - 1), ...grads);
}

function bytesOf(values: Float32Array): string {
  return Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString('base64');
}

const parameterBytes = (model: CausalLM) =>
  [...loraParameters(model.linears)].map(([name, t]) => [name, bytesOf(readFloats(t))]);

describe('samples packed together', () => {
  it('give the logits of the samples run one by one', async () => {
    await withModel(golden, {}, async (model) => {
      const packed = await logitsOf(model, batch);
      const single: number[] = [];
      for (const sample of batch) single.push(...(await logitsOf(model, [sample])));
      expect(relativeError(packed, single)).toBeLessThan(2e-6);
    });
  });

  it('never see one another: changing one changes no logit of the others', async () => {
    await withModel(golden, {}, async (model) => {
      const [a, b, c] = batch as [Sample, Sample, Sample];
      const other = { ...b, input_ids: b.input_ids.map((id) => (id * 7 + 3) % (model.headWeight.shape[0] as number)) };
      const V = model.headWeight.shape[0] as number;
      const [before, after] = [await logitsOf(model, [a, b, c]), await logitsOf(model, [a, other, c])];
      const [begin, end] = [a.input_ids.length * V, (a.input_ids.length + b.input_ids.length) * V];
      expect(after.slice(0, begin)).toEqual(before.slice(0, begin));
      expect(after.slice(end)).toEqual(before.slice(end));
      expect(after.slice(begin, end)).not.toEqual(before.slice(begin, end));
    });
  });

  it('give the gradients of the samples accumulated one by one, in any order', async () => {
    await withModel(golden, {}, async (model) => {
      const single = await gradientsOf(
        model,
        batch.map((sample) => [sample]),
      );
      const packed = await gradientsOf(model, [batch]);
      const turned = await gradientsOf(model, [[...batch].reverse()]);
      expect(difference(packed, single)).toBeLessThan(1e-5);
      expect(difference(turned, single)).toBeLessThan(1e-5);
    });
  });

  it('accumulated 1 × 4 equals 4 × 1', async () => {
    await withModel(golden, {}, async (model) => {
      const four = [...batch, { ...(batch[1] as Sample), input_ids: [...(batch[1] as Sample).input_ids].reverse() }];
      const together = await gradientsOf(model, [four]);
      const apart = await gradientsOf(
        model,
        four.map((sample) => [sample]),
      );
      expect(difference(together, apart)).toBeLessThan(1e-5);
    });
  });
});

describe('recompute', () => {
  it.each([0, 0.3])('of blocks changes no bit of loss and gradients, dropout %d', async (lora_dropout) => {
    await withModel(golden, { adapter: false }, async (model) => {
      scope(() => addLora(model.linears, { ...settings, lora_dropout }, 1));
      await runSteps(model, [batch], adamw, 1);
      const run = (recompute: 'none' | 'block') => gradientsOf(model, [batch], { recompute, dropoutSeed: 5 });
      const [plain, again] = [await run('none'), await run('block')];
      expect(again.loss).toBe(plain.loss);
      for (const [name, grad] of plain.grads)
        expect(bytesOf(again.grads.get(name) as Float32Array)).toBe(bytesOf(grad));
    });
  });

  it('dropout is a function of its seed and off without one', async () => {
    await withModel(golden, { adapter: false }, async (model) => {
      scope(() => addLora(model.linears, { ...settings, lora_dropout: 0.3 }, 1));
      await runSteps(model, [batch], adamw, 1);
      const lossAt = async (dropoutSeed: number | null) => (await gradientsOf(model, [batch], { dropoutSeed })).loss;
      const losses = [await lossAt(1), await lossAt(1), await lossAt(2), await lossAt(null), await lossAt(null)];
      expect(losses[0]).toBe(losses[1]);
      expect(losses[3]).toBe(losses[4]);
      expect(new Set(losses).size).toBe(3);
    });
  });
});

describe('training', () => {
  it('leaves the frozen weights as they were, bit for bit, and moves every adapter', async () => {
    await withModel(golden, {}, async (model) => {
      const frozen = () => model.weights.map((t) => bytesOf(readFloats(t)));
      const [before, adapters] = [frozen(), parameterBytes(model)];
      await runSteps(model, [batch], adamw, 3);
      expect(frozen()).toEqual(before);
      for (const [i, [name, bytes]] of parameterBytes(model).entries()) {
        expect(name).toBe(adapters[i]?.[0]);
        expect(bytes).not.toBe(adapters[i]?.[1]);
      }
    });
  });

  it('keeps no tensor from step to step', async () => {
    await withModel(golden, {}, async (model) => {
      const before = liveTensors();
      await runSteps(model, [batch, batch], adamw, 3);
      expect(liveTensors()).toBe(before);
    });
  });

  it('can learn one sample by heart', async () => {
    await withModel(golden, { adapter: false }, async (model) => {
      scope(() => addLora(model.linears, { ...settings, r: 8, lora_alpha: 16 }, 1));
      const { losses } = await runSteps(model, [[batch[2] as Sample]], { ...adamw, learning_rate: 0.01 }, 40);
      expect(losses[0]).toBeGreaterThan(2);
      // Normed states bound the logits of so small a model, so that the loss cannot reach zero.
      expect(losses.at(-1)).toBeLessThan(0.25);
    });
  });

  it('is a pure function of its inputs', async () => {
    const run = () =>
      withModel(golden, { adapter: false }, async (model) => {
        scope(() => addLora(model.linears, settings, 3));
        await runSteps(model, [batch], adamw, 2);
        return parameterBytes(model);
      });
    expect(await run()).toEqual(await run());
  });
});

describe('a fresh adapter', () => {
  it.each(['float32', 'bfloat16'] as const)('changes no bit of the logits in %s', async (dtype) => {
    await withModel(golden, { dtype, adapter: false }, async (model) => {
      const before = bytesOf(await logitsOf(model, batch));
      scope(() => addLora(model.linears, settings, 1));
      expect(bytesOf(await logitsOf(model, batch))).toBe(before);
    });
  });

  it.each([
    ['all-linear', 2 * 3 * (64 + 48 + 48 + 64 + 3 * (32 + 56))],
    [['q_proj', 'v_proj'], 2 * 3 * (64 + 48)],
    [['model.layers.1.mlp.down_proj'], 3 * (56 + 32)],
  ] as const)('on %s has r · (in + out) parameters a layer', async (target_modules, expected) => {
    await withModel(golden, { adapter: false }, async (model) => {
      scope(() => addLora(model.linears, { ...settings, target_modules }, 1));
      const count = [...loraParameters(model.linears).values()].reduce((total, t) => total + t.size, 0);
      expect(count).toBe(expected);
    });
  });

  it('refuses wrong target_modules, all of them at once', async () => {
    await withModel(golden, { adapter: false }, async (model) => {
      const target_modules = ['q_proj', 'lm_head', 'embed_tokens', 'proj'];
      expect(() => addLora(model.linears, { ...settings, target_modules }, 1)).toThrowErrorMatchingInlineSnapshot(
        `[UserError: lora.target_modules: expected names of linear layers (q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj), got lm_head, embed_tokens, proj; the output head and embeddings cannot carry an adapter.]`,
      );
      expect(loraParameters(model.linears).size).toBe(0);
    });
  });
});

describe('bfloat16', () => {
  const half = openGolden('llama_bfloat16');

  it("is at most twice as far from the truth as the composition, and as PyTorch's bfloat16", async () => {
    const worst = await withModel(half, { dtype: 'bfloat16' }, async (model) => ({
      kernels: await measure(half, model),
      compositions: await withoutKernels(() => measure(half, model)),
    }));
    const torch = half.json.bfloat16?.error;
    console.info('bfloat16 errors', JSON.stringify({ ...worst, torch }));
    if (torch === undefined) throw new Error('the golden has no bfloat16 run');
    for (const key of ['logits', 'grads'] as const) {
      expect(worst.kernels[key], key).toBeLessThanOrEqual(2 * worst.compositions[key]);
      expect(worst.compositions[key], key).toBeLessThanOrEqual(2 * torch[key]);
    }
    // A mean of errors of both signs: chance decides it below the error of one logit.
    expect(worst.kernels.loss).toBeLessThan(5e-3);
    expect(worst.compositions.loss).toBeLessThan(5e-3);
  });

  it('weights stored in bfloat16 are exact in float32', async () => {
    await withModel(half, {}, async (model) => {
      const { logits, grads, loss } = await measure(half, model);
      expect(Math.max(logits, grads)).toBeLessThan(1e-5);
      expect(loss).toBeLessThan(1e-6);
    });
  });

  it('trains: ten losses follow the float32 ones', async () => {
    await withModel(half, { dtype: 'bfloat16' }, async (model) => {
      const { losses } = await runSteps(model, [half.json.batch], half.json.adamw);
      losses.forEach((loss, i) => {
        expect(Math.abs(loss / (half.json.adamw.losses[i] as number) - 1), `step ${i}`).toBeLessThan(1e-2);
      });
    });
  });
});

it('the memory of a model goes back when it is released', async () => {
  const before = liveTensors();
  await withModel(golden, {}, async (model) => {
    expect(liveTensors()).toBe(before + model.weights.length + loraParameters(model.linears).size);
  });
  expect(liveTensors()).toBe(before);
});
