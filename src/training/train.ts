// `train`: one run from its config to its last checkpoint, new or resumed.
import { basename, join } from 'node:path';
import type { Config } from '../config/schema.ts';
import { messageOf, UserError } from '../core/errors.ts';
import { writeFileAtomic } from '../core/files.ts';
import { log } from '../core/log.ts';
import { packStep } from '../data/pack.ts';
import type { PrepareProgress } from '../data/prepare_options.ts';
import { cardOf } from './card.ts';
import { type CheckpointContext, loadCheckpoint, settle } from './checkpoint.ts';
import { heldOutLoss } from './evaluate.ts';
import { lockFolder } from './lock.ts';
import { runLoop, type TrainingEvents } from './loop.ts';
import { openMetrics } from './metrics.ts';
import { initialProgress, type Progress } from './progress.ts';
import { clearRun, finishedSteps, type OpenMode, openRunFolder, recoverSteps } from './run_folder.ts';
import { type Setup, setUp } from './setup.ts';
import { initialOptimizerState } from './step.ts';

export interface TrainEvents extends TrainingEvents {
  onPrepare(progress: PrepareProgress): void;
  /** All is open; `done` steps of `total` are finished already. */
  onStart(setup: Setup, done: number): void;
}

export interface TrainSummary {
  folder: string;
  steps: number;
  evaluations: Progress['evaluations'];
  best: Progress['best'];
}

/**
 * Trains into `config.output_dir`. `text` is the resolved config as YAML, stored with the run.
 * @throws UserError for anything wrong in config, data, base, folder or numbers; Interrupted after saving
 */
export async function train(
  { config, text }: { config: Config; text: string },
  mode: OpenMode,
  events: TrainEvents,
): Promise<TrainSummary> {
  const folder = config.output_dir;
  openRunFolder(folder, mode);
  const unlock = await lockFolder(folder);
  try {
    recoverSteps(folder);
    const setup = await setUp(config, events.onPrepare);
    const { checkpoint, progress } = begin(config, setup, mode);
    writeFileAtomic(join(folder, 'config.yaml'), text);
    events.onStart(setup, progress.step);
    await runLoop(loopOf(config, setup, { checkpoint, progress, events }), progress);
    return { folder, steps: progress.step, evaluations: progress.evaluations, best: progress.best };
  } catch (error) {
    throw fullDisk(error, folder) ?? error;
  } finally {
    unlock();
  }
}

const FULL_CODES = ['ENOSPC', 'EDQUOT', 'EFBIG'];

/** What to do about a full disk, where that is what went wrong. */
function fullDisk(error: unknown, folder: string): UserError | null {
  const causes = error instanceof Error ? [error, error.cause] : [];
  const full = causes.find((cause) => FULL_CODES.includes(String((cause as NodeJS.ErrnoException | undefined)?.code)));
  if (full === undefined) return null;
  return new UserError(
    `${folder}: expected room on the disk, got a full one (${messageOf(full)}); free some and continue with --resume, nothing saved before is lost.`,
  );
}

interface Begun {
  checkpoint: CheckpointContext;
  progress: Progress;
}

/** A new run, or the newest checkpoint of the folder's run. */
function begin(config: Config, setup: Setup, { resume, overwrite }: OpenMode): Begun {
  const folder = config.output_dir;
  const common = {
    ...{ folder, model: setup.model, identity: setup.identity, lora: setup.lora, base: setup.base },
    save_total_limit: config.training.save_total_limit,
    tokenizerFiles: setup.data.tokenizer.files,
    promptTemplate: setup.data.template,
    card: (progress: Progress) => cardOf(basename(folder), setup, progress),
  };
  const newest = resume ? finishedSteps(folder).at(-1) : undefined;
  if (newest === undefined) {
    if (overwrite) clearRun(folder);
    if (resume) log.info(`${folder}: no checkpoint yet; starting from the beginning.`);
    return { checkpoint: { ...common, optimizer: initialOptimizerState(setup.model) }, progress: initialProgress() };
  }
  const { progress, optimizer } = loadCheckpoint(folder, newest, setup.model, setup.identity);
  if (progress.best !== null && !finishedSteps(folder).includes(progress.best.step)) {
    log.warn(
      `${folder}: the best checkpoint (step ${progress.best.step}) is gone; the next evaluation starts a new best.`,
    );
    progress.best = null;
  }
  settle(common, progress);
  return { checkpoint: { ...common, optimizer }, progress };
}

function lossOf(model: Setup['model'], split: Setup['data']['eval'], { packing }: Config) {
  if (split === null) return null;
  return (onProgress: (share: number) => void) => heldOutLoss(model, split, packing, onProgress);
}

function loopOf(config: Config, setup: Setup, { checkpoint, progress, events }: Begun & { events: TrainEvents }) {
  const { model, data, plan } = setup;
  return {
    checkpoint,
    events,
    metrics: openMetrics(config.output_dir, progress.metrics_lines),
    settings: config.training,
    optimizer: config.optimizer,
    schedule: config.schedule,
    totalSteps: plan.totalSteps,
    samplesOf: plan.samplesOf,
    pack: (samples: Parameters<typeof packStep>[0]) => packStep(samples, config.packing),
    heldOutLoss: lossOf(model, data.eval, config),
  };
}
