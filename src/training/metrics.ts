// metrics.jsonl: one object a step. A resumed run cuts the file back to what its checkpoint had seen.
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { syncPath, writeFileAtomic } from '../core/files.ts';
import { log } from '../core/log.ts';

export interface StepMetrics {
  /** From 1; 0 is the evaluation before the first step, which has only step, epoch and eval_loss. */
  step: number;
  /** Epochs done, as a fraction. */
  epoch: number;
  /** Mean over the targets of the step. */
  loss: number;
  learning_rate: number;
  /** Before clipping. */
  grad_norm: number;
  num_samples: number;
  num_targets: number;
  /** Tokens computed. */
  num_tokens: number;
  /** Tokens the same samples have when nothing is shared. */
  num_equivalent_tokens: number;
  step_seconds: number;
  tokens_per_second: number;
  samples_per_second: number;
  /** Mean held-out loss over all targets, where this step evaluated. */
  eval_loss?: number;
}

export type MetricsRow = StepMetrics | Pick<StepMetrics, 'step' | 'epoch' | 'eval_loss'>;

export interface MetricsFile {
  /** Lines written so far. */
  lines(): number;
  append(row: MetricsRow): void;
  /** Makes all lines durable; called before a checkpoint refers to them. */
  sync(): void;
}

/** Opens the file of a run folder and keeps its first `keep` lines. */
export function openMetrics(folder: string, keep: number): MetricsFile {
  const path = join(folder, 'metrics.jsonl');
  const text = existsSync(path) ? readFileSync(path, 'utf8') : '';
  const before = text.split('\n').filter(Boolean).slice(0, keep);
  writeFileAtomic(path, before.map((line) => `${line}\n`).join(''));
  if (before.length < keep)
    log.warn(`${path}: expected ${keep} lines, got ${before.length}; the metrics of earlier steps are lost.`);
  let lines = before.length;
  return {
    lines: () => lines,
    append(row) {
      appendFileSync(path, `${JSON.stringify(row)}\n`);
      lines += 1;
    },
    sync: () => syncPath(path),
  };
}
