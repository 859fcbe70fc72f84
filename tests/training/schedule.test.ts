import { describe, expect, it } from 'vitest';
import { learningRateAt, type ScheduleSettings } from '../../src/training/schedule.ts';

const PEAK = 2e-4;

/** The factors of transformers' get_*_schedule_with_warmup, whose steps count from 0. */
function transformersFactor(name: ScheduleSettings['name'], step: number, total: number, warmup: number): number {
  if (step < warmup) return step / Math.max(1, warmup);
  if (name === 'constant') return 1;
  if (name === 'linear') return Math.max(0, (total - step) / Math.max(1, total - warmup));
  const progress = (step - warmup) / Math.max(1, total - warmup);
  return Math.max(0, 0.5 * (1 + Math.cos(Math.PI * progress)));
}

describe('learningRateAt', () => {
  const cases = (['constant', 'linear', 'cosine'] as const).flatMap((name) =>
    [0, 0.03, 0.25, 1].flatMap((warmup_ratio) => [1, 7, 100].map((total) => ({ name, warmup_ratio, total }))),
  );

  it.each(cases)(
    '$name, warm-up $warmup_ratio of $total steps: those of transformers, one step ahead while warming up',
    ({ name, warmup_ratio, total }) => {
      const warmup = Math.ceil(warmup_ratio * total);
      for (let step = 1; step <= total; step++) {
        const factor = step === warmup ? 1 : transformersFactor(name, step < warmup ? step : step - 1, total, warmup);
        expect(learningRateAt(step, total, PEAK, { name, warmup_ratio })).toBeCloseTo(PEAK * factor, 15);
      }
    },
  );

  it.each(cases)('$name, warm-up $warmup_ratio of $total steps: no step has a rate of zero or above the peak', (c) => {
    for (let step = 1; step <= c.total; step++) {
      const rate = learningRateAt(step, c.total, PEAK, c);
      expect(rate).toBeGreaterThan(0);
      expect(rate).toBeLessThanOrEqual(PEAK);
    }
  });

  it('reaches the peak at the last step of the warm-up', () => {
    const rates = [1, 2, 3, 4].map((step) => learningRateAt(step, 8, 1, { name: 'linear', warmup_ratio: 0.25 }));
    expect(rates).toEqual([0.5, 1, 1, 5 / 6]);
  });
});
