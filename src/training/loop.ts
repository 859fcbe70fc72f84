// The training loop: steps in the order of the plan, evaluations, checkpoints, and a save of the last finished step
// when something stops it.
import { seconds } from '../core/clock.ts';
import { Interrupted, UserError } from '../core/errors.ts';
import { breathe } from '../core/interrupt.ts';
import type { TokenizedSample, TreeBatch } from '../data/sample.ts';
import { type CheckpointContext, saveCheckpoint } from './checkpoint.ts';
import type { MetricsFile, StepMetrics } from './metrics.ts';
import type { Progress } from './progress.ts';
import { learningRateAt, type ScheduleSettings } from './schedule.ts';
import { NonFiniteStep, type OptimizerSettings, trainStep } from './step.ts';

/** Rows that an error lists at most. */
const MOST_ROWS = 8;

export interface TrainingSettings {
  eval_steps: number;
  save_steps: number;
  save_minutes: number;
  recompute: 'none' | 'block';
  seed: number;
}

/** What the loop tells the screen. */
export interface TrainingEvents {
  /** Share of the step in work, in [0, 1]. */
  onStepProgress(step: number, share: number): void;
  onStep(metrics: StepMetrics): void;
  onEvaluationProgress(step: number, share: number): void;
  onEvaluation(step: number, eval_loss: number): void;
  onSave(step: number): void;
}

export interface Loop {
  checkpoint: CheckpointContext;
  metrics: MetricsFile;
  settings: TrainingSettings;
  optimizer: OptimizerSettings & { learning_rate: number };
  schedule: ScheduleSettings;
  totalSteps: number;
  /** The samples of a step, counted from 1, and the share of epochs done after it. */
  samplesOf: (step: number) => { samples: TokenizedSample[]; epoch: number };
  pack: (samples: TokenizedSample[]) => TreeBatch[];
  /** Null where nothing is held out. */
  heldOutLoss: ((onProgress: (share: number) => void) => Promise<number>) | null;
  events: TrainingEvents;
}

/** Runs from `progress` to the last step; `progress` always describes finished steps only. */
export async function runLoop(loop: Loop, progress: Progress): Promise<void> {
  let saved = { step: progress.step, at: seconds() };
  const save = async () => {
    if (progress.step === 0) return;
    loop.metrics.sync();
    await saveCheckpoint(loop.checkpoint, progress);
    saved = { step: progress.step, at: seconds() };
    loop.events.onSave(progress.step);
  };
  try {
    if (progress.step === 0 && loop.heldOutLoss !== null) await evaluateStart(loop, progress, loop.heldOutLoss);
    while (progress.step < loop.totalSteps || progress.unrecorded !== null) {
      if (progress.unrecorded === null) await oneStep(loop, progress);
      await recordStep(loop, progress);
      if (isSaveDue(loop, progress, saved.at)) await save();
    }
  } catch (error) {
    // What is finished is kept; a failure while saving must not be answered by saving again.
    const isUnsaved = saved.step !== progress.step;
    if (isUnsaved && (error instanceof Interrupted || error instanceof NonFiniteStep)) await save();
    throw error;
  }
}

function isSaveDue({ settings, totalSteps }: Loop, { step, best }: Progress, savedAt: number): boolean {
  const isTime = seconds() - savedAt >= settings.save_minutes * 60;
  return step % settings.save_steps === 0 || step === totalSteps || best?.step === step || isTime;
}

type HeldOutLoss = NonNullable<Loop['heldOutLoss']>;

async function evaluateStart(loop: Loop, progress: Progress, heldOutLoss: HeldOutLoss): Promise<void> {
  const eval_loss = await evaluate(loop, heldOutLoss, 0);
  progress.evaluations.push({ step: 0, eval_loss });
  loop.metrics.append({ step: 0, epoch: 0, eval_loss });
  progress.metrics_lines = loop.metrics.lines();
}

async function evaluate({ events, checkpoint }: Loop, heldOutLoss: HeldOutLoss, step: number): Promise<number> {
  const loss = await heldOutLoss((share) => events.onEvaluationProgress(step, share));
  if (!Number.isFinite(loss)) {
    throw new UserError(
      `step ${step}: expected a finite held-out loss, got ${loss}. The checkpoints in ${checkpoint.folder} are untouched; train again with a lower optimizer.learning_rate or lora.lora_alpha.`,
    );
  }
  events.onEvaluation(step, loss);
  return loss;
}

/** One optimizer step; `progress` changes once it is done. Its metrics are recorded by `recordStep`. */
async function oneStep(loop: Loop, progress: Progress): Promise<void> {
  const { settings, checkpoint, events, totalSteps } = loop;
  const step = progress.step + 1;
  const started = seconds();
  const { samples, epoch } = loop.samplesOf(step);
  const packs = loop.pack(samples);
  const learning_rate = learningRateAt(step, totalSteps, loop.optimizer.learning_rate, loop.schedule);
  const result = await explained(step, packs, samples, checkpoint.folder, () =>
    trainStep(packs, {
      model: checkpoint.model,
      optimizer: checkpoint.optimizer,
      settings: loop.optimizer,
      learning_rate,
      recompute: settings.recompute,
      seed: settings.seed,
      onProgress: (share) => events.onStepProgress(step, share),
    }),
  );
  const num_tokens = packs.reduce((sum, pack) => sum + pack.input_ids.length, 0);
  const step_seconds = seconds() - started;
  const metrics: StepMetrics = {
    step,
    epoch,
    loss: result.loss,
    learning_rate,
    grad_norm: result.grad_norm,
    num_samples: samples.length,
    num_targets: result.num_targets,
    num_tokens,
    num_equivalent_tokens: samples.reduce((sum, sample) => sum + sample.input_ids.length - 1, 0),
    step_seconds,
    tokens_per_second: num_tokens / step_seconds,
    samples_per_second: samples.length / step_seconds,
  };
  progress.step = step;
  progress.epoch = epoch;
  progress.num_samples += metrics.num_samples;
  progress.num_tokens += num_tokens;
  progress.num_targets += metrics.num_targets;
  progress.unrecorded = metrics;
  events.onStep(metrics);
}

/** Evaluates where it is due and writes the step's line; interrupted, it is done again from the start. */
async function recordStep(loop: Loop, progress: Progress): Promise<void> {
  const { step, unrecorded } = progress;
  if (unrecorded === null) return;
  const isDue = step % loop.settings.eval_steps === 0 || step === loop.totalSteps;
  if (isDue && loop.heldOutLoss !== null) {
    const eval_loss = await evaluate(loop, loop.heldOutLoss, step);
    progress.evaluations.push({ step, eval_loss });
    if (progress.best === null || eval_loss < progress.best.eval_loss) progress.best = { step, eval_loss };
    loop.metrics.append({ ...unrecorded, eval_loss });
  } else {
    loop.metrics.append(unrecorded);
  }
  progress.metrics_lines = loop.metrics.lines();
  progress.unrecorded = null;
  await breathe();
}

/** Adds to a step that is not finite where it was, what was in it, and what to do. */
async function explained<T>(
  step: number,
  packs: TreeBatch[],
  samples: TokenizedSample[],
  folder: string,
  run: () => Promise<T>,
): Promise<T> {
  try {
    return await run();
  } catch (error) {
    if (!(error instanceof NonFiniteStep)) throw error;
    const pack = error.pack === null ? null : packs[error.pack];
    const suspects = pack ? [...new Set(pack.edge_samples)] : samples.map((_, i) => i);
    const rows = suspects
      .map((i) => samples[i])
      .map((sample) => `  row ${sample?.row}, ${sample?.role}: ${sample?.question.slice(0, 80)}`);
    throw new NonFiniteStep(
      `step ${step}: expected finite numbers, got ${error.message}. Parameters and optimizer are as after step ${step - 1}; the checkpoints in ${folder} are untouched. Samples:\n${rows.slice(0, MOST_ROWS).join('\n')}\ntrain again with a lower optimizer.learning_rate or lora.lora_alpha, or without these rows.`,
      error.pack,
    );
  }
}
