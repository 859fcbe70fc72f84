// How far a run has come, and run_state.json, which tells it together with what the run is made of.
import { z } from 'zod';
import { UserError } from '../core/errors.ts';
import type { Identity } from './identity.ts';
import type { StepMetrics } from './metrics.ts';

const FORMAT = 1;

export interface Progress {
  /** Finished optimizer steps. */
  step: number;
  /** Epochs done, as a fraction. */
  epoch: number;
  /** Totals over all steps. */
  num_samples: number;
  num_tokens: number;
  num_targets: number;
  evaluations: { step: number; eval_loss: number }[];
  best: { step: number; eval_loss: number } | null;
  /** Lines of metrics.jsonl that belong to these steps. */
  metrics_lines: number;
  /** The last step's metrics while its evaluation is still to come, else null. */
  unrecorded: StepMetrics | null;
}

export function initialProgress(): Progress {
  const totals = { num_samples: 0, num_tokens: 0, num_targets: 0 };
  return { step: 0, epoch: 0, ...totals, evaluations: [], best: null, metrics_lines: 0, unrecorded: null };
}

const count = z.int().min(0);
const evaluation = z.strictObject({ step: count, eval_loss: z.number() });

const schema = z.strictObject({
  format: z.literal(FORMAT),
  ...{ step: count, epoch: z.number(), num_samples: count, num_tokens: count, num_targets: z.number() },
  evaluations: z.array(evaluation),
  best: evaluation.nullable(),
  metrics_lines: count,
  unrecorded: z
    .strictObject({
      ...{ step: count, epoch: z.number(), loss: z.number(), learning_rate: z.number(), grad_norm: z.number() },
      ...{ num_samples: count, num_targets: z.number(), num_tokens: count, num_equivalent_tokens: count },
      ...{ step_seconds: z.number(), tokens_per_second: z.number(), samples_per_second: z.number() },
    })
    .nullable(),
  settings: z.record(z.string(), z.unknown()),
  inputs: z.record(z.string(), z.string().nullable()),
  engine: z.record(z.string(), z.unknown()),
});

/** The parts of an identity as a file gives them back: to compare, not to compute with. */
export type SavedIdentity = Record<keyof Identity, Record<string, unknown>>;

/** The object of run_state.json. */
export function runStateOf(progress: Progress, { settings, inputs, engine }: Identity): Record<string, unknown> {
  return { format: FORMAT, ...progress, settings, inputs, engine };
}

/** Reads the object of run_state.json back. UserError where it is of another form. */
export function parseRunState(state: unknown, path: string): { progress: Progress; identity: SavedIdentity } {
  const parsed = schema.safeParse(state);
  if (!parsed.success) {
    const wrong = parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; ');
    throw new UserError(
      `${path}: expected the state of a run in format ${FORMAT}, got ${wrong}; resume it with the rocit that wrote it.`,
    );
  }
  const { format: _, settings, inputs, engine, ...progress } = parsed.data;
  return { progress, identity: { settings, inputs, engine } };
}
