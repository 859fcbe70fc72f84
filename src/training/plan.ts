// The whole run as steps: which samples each step takes, over all epochs.
import { planEpoch } from '../data/plan.ts';
import type { PreparedSplit } from '../data/prepared.ts';
import type { TokenizedSample } from '../data/sample.ts';

export interface PlanOptions {
  samples_per_step: number;
  roles_per_step: number | null;
  seed: number;
  num_epochs: number;
  /** balanced: each answer weighs 1 / number of answers to its question in the split. */
  answer_weight: 'uniform' | 'balanced';
  max_steps: number | null;
}

export interface RunPlan {
  totalSteps: number;
  /** The samples of a step, counted from 1, and the epochs done after it. */
  samplesOf(step: number): { samples: TokenizedSample[]; epoch: number };
}

/** A pure function of the split and the options; it does not depend on how samples are packed. */
export function planRun(
  split: PreparedSplit,
  { num_epochs, max_steps, answer_weight, ...settings }: PlanOptions,
): RunPlan {
  const steps: { samples: number[]; epoch: number }[] = [];
  const limit = max_steps ?? Number.POSITIVE_INFINITY;
  for (let epoch = 0; epoch < num_epochs && steps.length < limit; epoch++) {
    const planned = planEpoch(split, { ...settings, epoch });
    planned.forEach((samples, i) => {
      steps.push({ samples, epoch: epoch + (i + 1) / planned.length });
    });
  }
  const sample = answer_weight === 'balanced' ? balanced(split) : (i: number) => split.sample(i);
  return {
    totalSteps: Math.min(limit, steps.length),
    samplesOf(step) {
      const planned = steps[step - 1];
      if (planned === undefined) throw new Error(`the run has ${steps.length} steps, step ${step} was asked for`);
      return { samples: planned.samples.map(sample), epoch: planned.epoch };
    },
  };
}

/** The samples of the first steps of a run, of all of them when `limit` is left out. */
export function* stepsOf({ totalSteps, samplesOf }: RunPlan, limit = totalSteps): Generator<TokenizedSample[]> {
  for (let step = 1; step <= Math.min(limit, totalSteps); step++) yield samplesOf(step).samples;
}

/** Samples whose weight is 1 / number of answers to their question. */
function balanced(split: PreparedSplit): (i: number) => TokenizedSample {
  const { questionIds } = split;
  const answers = new Map<number, number>();
  for (const id of questionIds) answers.set(id, (answers.get(id) ?? 0) + 1);
  return (i) => ({ ...split.sample(i), weight: 1 / (answers.get(questionIds[i] as number) ?? 1) });
}
