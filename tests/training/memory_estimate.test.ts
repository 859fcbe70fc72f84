import { beforeAll, describe, expect, it } from 'vitest';
import { startEngine } from '../../src/engine/runtime.ts';
import { liveBytes, Tensor } from '../../src/engine/tensor.ts';
import { loraParameters } from '../../src/nn/lora.ts';
import { estimateMemory } from '../../src/training/memory_estimate.ts';
import { trainStep } from '../../src/training/step.ts';
import { temporaryFolder } from '../support/temporary.ts';
import { adaptedModel, madeUpSamples, packsOf, stepArguments } from './tiny_packs.ts';

/** How far the estimate may be from what a step takes at most, either way. */
const FACTOR = 2;

const folder = temporaryFolder();
beforeAll(async () => {
  await startEngine();
});

/** The most bytes that live at once while `fn` runs, beyond those that lived before. */
async function peakBytes(fn: () => Promise<unknown>): Promise<number> {
  const before = liveBytes();
  const { count } = Tensor.prototype;
  let peak = 0;
  Tensor.prototype.count = function (change) {
    peak = Math.max(peak, liveBytes() - before);
    count.call(this, change);
  };
  await fn().finally(() => {
    Tensor.prototype.count = count;
  });
  return peak;
}

describe('estimateMemory', () => {
  it('counts frozen weights and adapters to the byte', () => {
    const before = liveBytes();
    const model = adaptedModel(folder);
    const { weights, adapters } = estimateMemory(model, 1, 'none');
    const parameters = [...loraParameters(model.linears).values()].reduce((sum, t) => sum + t.bytes, 0);
    expect(adapters).toBe(4 * parameters);
    expect(liveBytes() - before).toBe(weights + parameters);
  });

  it.each([
    [4, 'none'],
    [32, 'none'],
    [32, 'block'],
  ] as const)(
    'of a pack of %i samples, recompute %s, is within a factor of two of the live bytes',
    async (n, recompute) => {
      const packs = packsOf(madeUpSamples(n, 60), 'sequence');
      expect(packs).toHaveLength(1);
      const model = adaptedModel(folder);
      const optimizer = stepArguments(model).optimizer;
      const peak = await peakBytes(() => trainStep(packs, stepArguments(model, { optimizer, recompute })));
      const { activations, head } = estimateMemory(model, packs[0]?.input_ids.length ?? 0, recompute);
      console.log(`${n} samples, ${recompute}: ${activations + head} bytes estimated, ${peak} live at most`);
      expect((activations + head) / peak).toBeGreaterThan(1 / FACTOR);
      expect((activations + head) / peak).toBeLessThan(FACTOR);
    },
  );
});
