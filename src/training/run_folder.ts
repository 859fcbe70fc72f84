// The run folder: which checkpoints it holds, the links `best` and `last`, what is pruned. Format: checkpoints/README.md.
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '../core/errors.ts';
import { isTemporaryName, recoverFolder, replacedFolders, temporaryName } from '../core/files.ts';

const STEP = /^step_(\d+)$/;

/** `step_000100`. */
export function stepName(step: number): string {
  return `step_${String(step).padStart(6, '0')}`;
}

/** Steps with a finished checkpoint, ascending. A checkpoint folder gets its name only when all of it is on disk. */
export function finishedSteps(folder: string): number[] {
  if (!existsSync(folder)) return [];
  const steps = readdirSync(folder).map((name) => STEP.exec(name)?.[1]);
  return steps
    .filter((step) => step !== undefined)
    .map(Number)
    .sort((a, b) => a - b);
}

/** Ends replacements of checkpoints that were killed halfway. Only the owner of the folder's lock may call it. */
export function recoverSteps(folder: string): void {
  replacedFolders(folder).forEach(recoverFolder);
}

/** Whether a run finished a step or saved a checkpoint here. */
export function holdsRun(folder: string): boolean {
  const metrics = join(folder, 'metrics.jsonl');
  const hasSteps = existsSync(metrics) && readFileSync(metrics, 'utf8').includes('"loss"');
  return hasSteps || finishedSteps(folder).length > 0 || (existsSync(folder) && replacedFolders(folder).length > 0);
}

export interface OpenMode {
  resume: boolean;
  overwrite: boolean;
}

/** Makes the folder, or refuses one that holds a run which is neither resumed nor overwritten. */
export function openRunFolder(folder: string, { resume, overwrite }: OpenMode): void {
  if (holdsRun(folder) && !resume && !overwrite) {
    throw new UserError(
      `${folder}: expected an empty output_dir, got one that holds a run; continue it with --resume, replace it with --overwrite, or choose another output_dir.`,
    );
  }
  mkdirSync(folder, { recursive: true });
}

/** Removes what an earlier run wrote, and nothing else. */
export function clearRun(folder: string): void {
  for (const name of readdirSync(folder)) {
    const ours = STEP.test(name) || ['best', 'last', 'metrics.jsonl', 'config.yaml'].includes(name);
    if (ours || isTemporaryName(name)) rmSync(join(folder, name), { recursive: true, force: true });
  }
}

/** Points `best` or `last` at a step, at once. */
export function linkStep(folder: string, name: 'best' | 'last', step: number): void {
  const temporary = temporaryName(join(folder, name));
  rmSync(temporary, { force: true });
  symlinkSync(stepName(step), temporary);
  renameSync(temporary, join(folder, name));
}

/** Keeps the newest `limit` checkpoints and the best one; removes older ones and what killed saves left behind. */
export function prune(folder: string, limit: number, best: number | null): void {
  const kept = new Set([...finishedSteps(folder).slice(-limit), best]);
  for (const step of finishedSteps(folder)) {
    if (kept.has(step)) continue;
    // Renamed first, so that a kill halfway leaves no checkpoint that looks finished.
    const doomed = temporaryName(join(folder, stepName(step)));
    rmSync(doomed, { recursive: true, force: true });
    renameSync(join(folder, stepName(step)), doomed);
  }
  for (const name of readdirSync(folder)) {
    if (isTemporaryName(name)) rmSync(join(folder, name), { recursive: true, force: true });
  }
}

/** The folder of a finished checkpoint. */
export function stepFolder(folder: string, step: number): string {
  return join(folder, stepName(step));
}
