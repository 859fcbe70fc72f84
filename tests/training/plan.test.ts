import { describe, expect, it } from 'vitest';
import { type PlanOptions, planRun, stepsOf } from '../../src/training/plan.ts';
import { splitOf } from './splits.ts';
import { madeUpSamples } from './tiny_packs.ts';

const SAMPLES = 10;
const OPTIONS: PlanOptions = {
  samples_per_step: 4,
  roles_per_step: 2,
  seed: 3,
  num_epochs: 2,
  max_steps: null,
  answer_weight: 'uniform',
};

/** A split of two roles; a sample is told by its row. */
const split = splitOf(madeUpSamples(SAMPLES).map((sample, i) => ({ ...sample, role: `role ${i % 2}`, row: i })));

function rowsOf(options: PlanOptions): { rows: number[]; epoch: number }[] {
  const plan = planRun(split, options);
  return Array.from({ length: plan.totalSteps }, (_, i) => {
    const { samples, epoch } = plan.samplesOf(i + 1);
    return { rows: samples.map(({ row }) => row), epoch };
  });
}

describe('planRun', () => {
  it('takes every sample once an epoch, in another order each epoch', () => {
    const steps = rowsOf(OPTIONS);
    expect(steps.map(({ rows }) => rows.length)).toEqual([4, 4, 2, 4, 4, 2]);
    const epochs = [steps.slice(0, 3), steps.slice(3)].map((part) => part.flatMap(({ rows }) => rows));
    for (const rows of epochs) expect(rows.toSorted((a, b) => a - b)).toEqual([...Array(SAMPLES).keys()]);
    expect(epochs[0]).not.toEqual(epochs[1]);
  });

  it('counts epochs as a fraction that is whole at the end of each', () => {
    const epochs = rowsOf(OPTIONS).map(({ epoch }) => epoch);
    for (const [i, epoch] of epochs.entries()) expect(epoch).toBeCloseTo((i + 1) / 3, 12);
    expect([epochs[2], epochs[5]]).toEqual([1, 2]);
  });

  it('is the same for the same arguments, and another for another seed', () => {
    expect(rowsOf(OPTIONS)).toEqual(rowsOf(OPTIONS));
    expect(rowsOf(OPTIONS)).not.toEqual(rowsOf({ ...OPTIONS, seed: 4 }));
  });

  it('with balanced answers gives each question of the split a weight of 1, and takes the same samples', () => {
    const questions = splitOf(
      madeUpSamples(SAMPLES).map((sample, i) => ({ ...sample, row: i, question_id: Math.floor(Math.sqrt(i)) })),
    );
    const samples = (answer_weight: PlanOptions['answer_weight']) =>
      [...stepsOf(planRun(questions, { ...OPTIONS, answer_weight, num_epochs: 1 }))].flat();
    expect(samples('balanced').map(({ row }) => row)).toEqual(samples('uniform').map(({ row }) => row));
    expect(samples('uniform').every(({ weight }) => weight === undefined)).toBe(true);
    for (const question of [0, 1, 2, 3]) {
      const weights = samples('balanced')
        .filter(({ question_id }) => question_id === question)
        .map(({ weight }) => weight ?? 0);
      expect(weights.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 12);
      expect(new Set(weights).size).toBe(1);
    }
  });

  it.each([
    [1, 1],
    [5, 5],
    [100, 6],
  ])('max_steps %i of two epochs gives the first %i steps', (max_steps, expected) => {
    expect(rowsOf({ ...OPTIONS, max_steps })).toEqual(rowsOf(OPTIONS).slice(0, expected));
  });
});
