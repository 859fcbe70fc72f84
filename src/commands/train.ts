// `rocit train <config>`: trains, resumes or, with --dry-run, says what a run would be.
import type { LoadedConfig } from '../config/load.ts';
import { seconds } from '../core/clock.ts';
import { UserError } from '../core/errors.ts';
import { expandHome } from '../core/files.ts';
import { log } from '../core/log.ts';
import type { PackSettings } from '../data/pack.ts';
import { packingQuality } from '../data/packing_quality.ts';
import type { PrepareProgress } from '../data/prepare_options.ts';
import { openProfile, type Profile, type ProfileSummary } from '../engine/profile.ts';
import { withAdapterSettings } from '../training/adapter_settings.ts';
import { type DryRun, dryRun } from '../training/dry_run.ts';
import type { StepMetrics } from '../training/metrics.ts';
import { stepsOf } from '../training/plan.ts';
import { type TrainEvents, train } from '../training/train.ts';
import { MEASURED_STEPS, packingLine } from './packing_line.ts';
import { type Bar, duration, startBar } from './progress_bar.ts';

export interface TrainOptions {
  resume: boolean;
  overwrite: boolean;
  dryRun: boolean;
  json: boolean;
  /** File for a trace of all operations, or null. */
  profile: string | null;
}

/** Prints the run folder on stdout (a JSON summary with `json`); steps, evaluations and the bar go to stderr. */
export async function trainCommand(given: LoadedConfig, options: TrainOptions): Promise<void> {
  const loaded = withAdapterSettings(given);
  if (options.dryRun) return await showDryRun(loaded, options);
  log.info(loaded.text.trimEnd());
  const screen = createScreen();
  const profile = options.profile === null ? null : openProfile(expandHome(options.profile));
  try {
    const summary = await train(loaded, options, profile === null ? screen.events : profiled(screen.events, profile));
    const text = options.json ? JSON.stringify(summary) : summary.folder;
    screen.close();
    process.stdout.write(`${text}\n`);
  } finally {
    screen.close();
    if (profile !== null) log.info(profileText(options.profile as string, profile.close()));
  }
}

/** Adds a bar a step to the profile. */
function profiled(events: TrainEvents, profile: Profile): TrainEvents {
  const onStep = (metrics: StepMetrics) => {
    const now = seconds();
    profile.step(`step ${metrics.step}`, now - metrics.step_seconds, now);
    events.onStep(metrics);
  };
  return { ...events, onStep };
}

/** The share of each operation in the steps' time, and what is left beside the compute of our kernels. */
function profileText(path: string, summary: ProfileSummary | null): string {
  if (summary === null) return `${path}: profile`;
  const { steps, total, operations, overhead } = summary;
  const percent = (share: number) => `${(100 * share).toFixed(2).padStart(6)} %`;
  const rows = operations.map(
    ({ name, calls, seconds }) =>
      `${percent(seconds / total)}  ${name} (${calls} x ${((1e3 * seconds) / calls).toFixed(3)} ms)`,
  );
  const outside = 1 - operations.reduce((sum, { seconds }) => sum + seconds, 0) / total;
  return [
    `${path}: profile of ${steps} steps, ${total.toFixed(1)} s`,
    ...rows,
    `${percent(outside)}  outside operations`,
    `overhead, all but the compute of our kernels: ${overhead === null ? 'unknown on a GPU' : percent(overhead).trim()}`,
  ].join('\n');
}

async function showDryRun({ config, text }: LoadedConfig, { json, profile }: TrainOptions): Promise<void> {
  if (profile !== null) {
    throw new UserError('command line: expected a run for --profile, got --dry-run; leave one of them out.');
  }
  const bar = startBar('preparing');
  const result = await dryRun(config, onPrepare(bar)).finally(() => bar.stop());
  if (json) process.stdout.write(`${JSON.stringify({ config, ...result })}\n`);
  else process.stdout.write(`${text}\n${describeDryRun(result, config.packing)}\n`);
}

const onPrepare =
  (bar: Bar) =>
  ({ bytes, total_bytes, tokens }: PrepareProgress) =>
    bar.update(bytes / Math.max(1, total_bytes), `${tokens} tokens`);

function describeDryRun(run: DryRun, packing: PackSettings): string {
  const { memory, training_seconds, evaluation_seconds } = run;
  const total = Object.values(memory).reduce((a, b) => a + b, 0);
  const parts = Object.entries(memory).map(([name, bytes]) => `${name} ${gigabytes(bytes)}`);
  return [
    `${run.steps} steps · ${run.samples} samples · ${run.tokens} tokens to compute, ${run.targets} targets · ${run.packs} packs`,
    `${packingLine(run, packing)} · ${run.trainable_parameters} trainable parameters`,
    `memory about ${gigabytes(total)}: ${parts.join(', ')}`,
    `time about ${duration(training_seconds + evaluation_seconds)} at ${run.tokens_per_second.toFixed(0)} tokens/s (measured on one small step): training ${duration(training_seconds)}, evaluation ${duration(evaluation_seconds)}`,
  ].join('\n');
}

interface Screen {
  events: TrainEvents;
  close(): void;
}

/** A line a step and an evaluation, and one bar for the whole run that also moves inside a step. */
function createScreen(): Screen {
  let bar: Bar | null = startBar('preparing');
  let total = 1;
  let begun = { at: seconds(), done: 0 };
  let last = '';
  const show = (step: number, share: number) => bar?.update((step - 1 + share) / total, `step ${step}/${total}${last}`);
  const events: TrainEvents = {
    onPrepare: (progress) => bar && onPrepare(bar)(progress),
    onStart({ plan, data, identity }, done) {
      bar?.stop();
      const { engine } = identity;
      const place = `${engine.backend} ${engine.tensorflow ?? ''} on ${engine.device}, ${engine.threads} threads, ${engine.kernels.length} kernels`;
      log.info(`${data.train.stats.samples} training samples, ${data.eval?.stats.samples ?? 0} held out · ${place}`);
      const quality = packingQuality(stepsOf(plan, MEASURED_STEPS), identity.settings.packing);
      log.info(packingLine(quality, identity.settings.packing));
      log.info(done === 0 ? `${plan.totalSteps} steps` : `continuing after step ${done} of ${plan.totalSteps}`);
      total = plan.totalSteps;
      begun = { at: seconds(), done };
      bar = startBar('training');
    },
    onStepProgress: show,
    onStep(metrics) {
      last = ` · loss ${metrics.loss.toFixed(3)}`;
      const left = ((seconds() - begun.at) / (metrics.step - begun.done)) * (total - metrics.step);
      log.info(`${stepLine(metrics, total)} · ETA ${duration(left)}`);
    },
    onEvaluationProgress: (step, share) => bar?.update(step / total, `evaluating, ${(100 * share).toFixed(0)} %`),
    onEvaluation: (step, loss) => log.info(`step ${step}: held-out loss ${loss.toFixed(4)}`),
    onSave: (step) => log.info(`step ${step}: saved`),
  };
  return {
    events,
    close() {
      bar?.stop();
      bar = null;
    },
  };
}

function stepLine(m: StepMetrics, total: number): string {
  return [
    `step ${m.step}/${total}`,
    `loss ${m.loss.toFixed(4)}`,
    `lr ${m.learning_rate.toExponential(2)}`,
    `grad norm ${m.grad_norm.toFixed(3)}`,
    `${m.tokens_per_second.toFixed(0)} tokens/s`,
    `${m.samples_per_second.toFixed(2)} samples/s`,
    `${(m.num_equivalent_tokens / m.step_seconds).toFixed(0)} equivalent tokens/s`,
    `memory ${gigabytes(process.memoryUsage().rss)}`,
  ].join(' · ');
}

function gigabytes(bytes: number): string {
  return bytes < 1e8 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(2)} GB`;
}
