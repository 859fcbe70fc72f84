// lora_linear against its float64 twin.
import { describe, expect, it } from 'vitest';
import { loraLinearCases, recoverMask } from '../cases/lora_linear.ts';
import { proveOp } from '../proof.ts';

proveOp('lora_linear', loraLinearCases, { kernels: ['RocitLoraLinear', 'RocitLoraLinearGrad'] });

describe('dropout', () => {
  const [N, width] = [64, 50];

  it.each([0.1, 0.5, 0.9])('drops a share of %d and scales up the rest', (dropout) => {
    const mask = recoverMask(N, width, dropout, 3);
    const kept = mask.filter((x) => x !== 0);
    for (const x of kept) expect(Math.abs(x * (1 - dropout) - 1)).toBeLessThan(1e-6);
    // Six standard deviations of a share of 3200 draws.
    expect(Math.abs(kept.length / mask.length - (1 - dropout))).toBeLessThan(6 * Math.sqrt(0.25 / (N * width)));
  });

  it('is a pure function of the seed', () => {
    const mask = recoverMask(N, width, 0.5, 3);
    expect(recoverMask(N, width, 0.5, 3)).toEqual(mask);
    for (const seed of [0, 4, -3, 2 ** 31, 4_294_967_295]) {
      const other = recoverMask(N, width, 0.5, seed);
      expect(other).toEqual(recoverMask(N, width, 0.5, seed));
      const agreement = other.filter((x, i) => x === mask[i]).length / mask.length;
      expect(Math.abs(agreement - 0.5), `seed ${seed}`).toBeLessThan(0.06);
    }
  });

  it('of 0 keeps everything', () => {
    expect([...new Set(recoverMask(4, 5, 0, 3))]).toEqual([1]);
  });
});
