// The whole run as steps: which samples each step takes, over all epochs.
import { planEpoch } from '../data/plan.ts';
import type { PreparedSplit } from '../data/prepared.ts';
import type { TokenizedSample } from '../data/sample.ts';

export interface PlanOptions {
  samples_per_step: number;
  roles_per_step: number | null;
  seed: number;
  num_epochs: number;
  max_steps: number | null;
}

export interface RunPlan {
  totalSteps: number;
  /** The samples of a step, counted from 1, and the epochs done after it. */
  samplesOf(step: number): { samples: TokenizedSample[]; epoch: number };
}

/** A pure function of the split and the options; it does not depend on how samples are packed. */
export function planRun(split: PreparedSplit, { num_epochs, max_steps, ...settings }: PlanOptions): RunPlan {
  const steps: { samples: number[]; epoch: number }[] = [];
  const limit = max_steps ?? Number.POSITIVE_INFINITY;
  for (let epoch = 0; epoch < num_epochs && steps.length < limit; epoch++) {
    const planned = planEpoch(split, { ...settings, epoch });
    planned.forEach((samples, i) => {
      steps.push({ samples, epoch: epoch + (i + 1) / planned.length });
    });
  }
  return {
    totalSteps: Math.min(limit, steps.length),
    samplesOf(step) {
      const planned = steps[step - 1];
      if (planned === undefined) throw new Error(`the run has ${steps.length} steps, step ${step} was asked for`);
      return { samples: planned.samples.map((i) => split.sample(i)), epoch: planned.epoch };
    },
  };
}
