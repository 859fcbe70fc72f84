// Parity with transformers + PEFT on every golden: logits, losses, each LoRA gradient, ten AdamW steps.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type EngineInfo, startEngine } from '../../src/engine/runtime.ts';
import { liveTensors, observeOperations, readFloats } from '../../src/engine/tensor.ts';
import type { CausalLM } from '../../src/models/causal_lm.ts';
import { loraParameters } from '../../src/nn/lora.ts';
import { relativeError } from '../reference/relative_error.ts';
import { type Golden, goldenNames, gradientsOf, logitsOf, openGolden, runSteps, withModel } from './golden.ts';

/** The goldens are float64; PyTorch's own float32 runs are 3e-6 from them in gradients and 2e-7 in losses. */
const LOGITS_AND_GRADIENTS = 1e-5;
const LOSSES = 1e-6;
/** Ten steps of AdamW divide gradients by their own size, so that rounding grows where a gradient is near zero. */
const FINAL_WEIGHTS = 3e-5;

export interface Worst {
  logits: number;
  grads: number;
  loss: number;
}

/** Largest relative errors of a model with the golden's adapter against the truth. */
export async function measure(golden: Golden, model: CausalLM): Promise<Worst> {
  const { batch, loss } = golden.json;
  const logits: number[] = [];
  for (const [i, sample] of batch.entries()) {
    logits.push(relativeError(await logitsOf(model, [sample]), golden.tensor(`logits.${i}`)));
  }
  const step = await gradientsOf(
    model,
    batch.map((sample) => [sample]),
  );
  const names = golden.names('grad.').map((name) => name.slice('grad.'.length));
  expect([...step.grads.keys()].sort()).toEqual(names.sort());
  const grads = [...step.grads].map(([name, grad]) => relativeError(grad, golden.tensor(`grad.${name}`)));
  return { logits: Math.max(...logits), grads: Math.max(...grads), loss: Math.abs(step.loss / loss - 1) };
}

/** The goldens whose weights are stored in float32 or float16. */
export function floatGoldens(): string[] {
  const names = goldenNames().filter((name) => name !== 'llama_bfloat16');
  if (names.length < 10) throw new Error(`expected at least 10 goldens, got ${names}`);
  return names;
}

/**
 * Registers the tests for the engine as the file has set it; `check` asserts that it is the one meant. `kernels` are the
 * operations of our own that run in all of it.
 */
export function proveParity(
  title: string,
  names: readonly string[],
  kernels: readonly string[],
  check: (engine: EngineInfo) => void,
): void {
  const figures: string[] = [];
  const executed = new Set<string>();
  beforeAll(async () => {
    const engine = await startEngine();
    check(engine);
    observeOperations(({ name }) => executed.add(name));
    figures.push(`${engine.backend}, kernels: ${engine.kernels.join(', ') || 'none'}`);
  });
  afterAll(() => {
    observeOperations(null);
    console.info(`${title}: ${figures.join('\n  ')}`);
    expect(executed.size).toBeGreaterThan(0);
    expect([...executed].filter((name) => name.startsWith('Rocit')).sort()).toEqual(kernels);
    expect(liveTensors()).toBe(0);
  });

  describe.each(names)('%s', (name) => {
    const golden = openGolden(name);
    const { batch, sample_losses_base, adamw } = golden.json;

    it('the bare model gives the logits and losses of transformers', async () => {
      await withModel(golden, { adapter: false }, async (model) => {
        for (const [i, sample] of batch.entries()) {
          const logits = await logitsOf(model, [sample]);
          const error = relativeError(logits, golden.tensor(`logits_base.${i}`));
          expect(error).toBeLessThan(LOGITS_AND_GRADIENTS);
          expect(Math.abs(lossFrom(logits, sample) / (sample_losses_base[i] as number) - 1)).toBeLessThan(LOSSES);
        }
      });
    });

    it('with the adapter: logits, loss and every LoRA gradient are those of PEFT', async () => {
      const worst = await withModel(golden, {}, (model) => measure(golden, model));
      figures.push(`${name}: ${Object.entries(worst).map(([key, error]) => `${key} ${error.toExponential(1)}`)}`);
      expect(worst.logits).toBeLessThan(LOGITS_AND_GRADIENTS);
      expect(worst.grads).toBeLessThan(LOGITS_AND_GRADIENTS);
      expect(worst.loss).toBeLessThan(LOSSES);
    });

    it("ten steps of AdamW give PyTorch's losses, norms and weights", async () => {
      await withModel(golden, {}, async (model) => {
        const { losses, grad_norms } = await runSteps(model, [batch], adamw);
        const final = [...loraParameters(model.linears)].map(([key, t]) =>
          relativeError(readFloats(t), golden.tensor(`final.${key}`)),
        );
        const errors = {
          losses: relativeEach(losses, adamw.losses),
          norms: relativeEach(grad_norms, adamw.grad_norms),
        };
        figures.push(
          `${name}: ten losses ${errors.losses.toExponential(1)}, final weights ${Math.max(...final).toExponential(1)}`,
        );
        expect(errors.losses).toBeLessThan(LOSSES);
        expect(errors.norms).toBeLessThan(LOGITS_AND_GRADIENTS);
        expect(Math.max(...final)).toBeLessThan(FINAL_WEIGHTS);
      });
    });
  });
}

function relativeEach(got: readonly number[], expected: readonly number[]): number {
  expect(got).toHaveLength(expected.length);
  return Math.max(...got.map((x, i) => Math.abs(x / (expected[i] as number) - 1)));
}

/** Σ −log softmax(logits[i])[input_ids[i + 1]] over the targets. */
function lossFrom(
  logits: Float32Array,
  { input_ids, is_target }: { input_ids: number[]; is_target: number[] },
): number {
  const V = logits.length / input_ids.length;
  let total = 0;
  for (let i = 0; i + 1 < input_ids.length; i++) {
    if (!is_target[i + 1]) continue;
    const row = Array.from(logits.subarray(i * V, (i + 1) * V));
    const top = Math.max(...row);
    const lse = top + Math.log(row.reduce((sum, x) => sum + Math.exp(x - top), 0));
    total += lse - (row[input_ids[i + 1] as number] as number);
  }
  return total;
}
