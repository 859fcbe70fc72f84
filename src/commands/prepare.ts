// `rocit prepare <config>`: tokenises the splits, prints a summary table, how the training samples pack, and on request
// samples with their targets and the prefix tree they make.
import type { Config } from '../config/schema.ts';
import { seconds } from '../core/clock.ts';
import { log } from '../core/log.ts';
import { packingQuality } from '../data/packing_quality.ts';
import { prepare } from '../data/prepare.ts';
import type { PrepareProgress } from '../data/prepare_options.ts';
import type { PreparedSplit } from '../data/prepared.ts';
import { DROP_REASONS, type SplitStats, type TokenizedSample } from '../data/sample.ts';
import { countTargets } from '../data/tokenize.ts';
import type { Tokenizer } from '../data/tokenizer.ts';
import { resolveBase } from '../models/load.ts';
import { planRun, stepsOf } from '../training/plan.ts';
import { MEASURED_STEPS, packingLine } from './packing_line.ts';
import { startBar } from './progress_bar.ts';
import { sampleTreeText } from './sample_tree.ts';

export interface PrepareCommandOptions {
  /** How many training samples to print; null or 0 for none. */
  show: number | null;
}

/** Prepares the data of a config; the table and the samples go to stdout. */
export async function prepareCommand(config: Config, { show }: PrepareCommandOptions): Promise<void> {
  const bar = startBar('prepare');
  const start = seconds();
  let tokens = 0;
  const onProgress = (progress: PrepareProgress) => {
    ({ tokens } = progress);
    bar.update(progress.rows / Math.max(1, progress.total_rows), `${thousands(tokens)} tokens`);
  };
  const { data, training, model } = config;
  const options = { data, tokenizer_folder: resolveBase(model.base), seed: training.seed, onProgress };
  const prepared = await prepare(options).finally(() => bar.stop());
  const took = seconds() - start;
  const speed = `${thousands(tokens)} tokens in ${took.toFixed(1)} s (${thousands(tokens / took)} tokens/s)`;
  log.info(prepared.isFresh ? `${prepared.folder} is up to date` : `${prepared.folder}: ${speed}`);
  const count = Math.min(show ?? 0, prepared.train.numSamples);
  const shown = Array.from({ length: count }, (_, i) => prepared.train.sample(i));
  for (const [i, sample] of shown.entries()) process.stdout.write(sampleText(prepared.tokenizer, sample, i));
  if (count > 0) process.stdout.write(sampleTreeText(shown, (ids) => prepared.tokenizer.decode(ids)));
  process.stdout.write(summaryTable([prepared.train, ...(prepared.eval === null ? [] : [prepared.eval])]));
  log.info(packingLine(packingQuality(firstSteps(prepared.train, config), config.packing), config.packing));
}

/** The first training steps of the config. */
function firstSteps(split: PreparedSplit, { batching, training, data }: Config): Generator<TokenizedSample[]> {
  const { seed, max_steps } = training;
  const { answer_weight } = data;
  const plan = planRun(split, { ...batching, seed, num_epochs: 1, max_steps, answer_weight });
  return stepsOf(plan, MEASURED_STEPS);
}

/** One row a split: roles, questions, samples, tokens, targets, dropped (by reason), truncated. */
export function summaryTable(splits: readonly Pick<PreparedSplit, 'name' | 'stats'>[]): string {
  const head = ['split', 'roles', 'questions', 'samples', 'tokens', 'targets', 'dropped', 'truncated'];
  const rows = splits.map(({ name, stats }) => [
    name,
    ...[stats.roles, stats.questions, stats.samples, stats.tokens, stats.targets].map(thousands),
    droppedText(stats),
    thousands(stats.truncated),
  ]);
  const widths = head.map((title, c) => Math.max(title.length, ...rows.map((row) => row[c]?.length ?? 0)));
  const line = (cells: string[]) =>
    cells.map((cell, c) => (c === 0 ? cell.padEnd(widths[c] ?? 0) : cell.padStart(widths[c] ?? 0))).join('  ');
  return `${[head, ...rows].map(line).join('\n')}\n`;
}

function droppedText({ dropped }: SplitStats): string {
  const reasons = DROP_REASONS.filter((reason) => dropped[reason] > 0);
  const total = reasons.reduce((sum, reason) => sum + dropped[reason], 0);
  const parts = reasons.map((reason) => `${thousands(dropped[reason])} ${reason}`);
  return total === 0 ? '0' : `${thousands(total)} (${parts.join(', ')})`;
}

/** The text of a sample, targets green; where colours are off they stand in ⟦ ⟧. */
function sampleText(tokenizer: Tokenizer, sample: TokenizedSample, i: number): string {
  const { role, row, answer_index, input_ids, is_target } = sample;
  const counts = `${input_ids.length} tokens, ${countTargets(is_target)} targets`;
  const head = `── sample ${i}: ${role}, row ${row}, answer ${answer_index}: ${counts}\n`;
  let text = '';
  let start = 0;
  for (let t = 1; t <= input_ids.length; t++) {
    if (t < input_ids.length && is_target[t] === is_target[start]) continue;
    const part = tokenizer.decode([...input_ids.subarray(start, t)]);
    text += is_target[start] === 1 ? asTarget(part) : part;
    start = t;
  }
  return `${head}${text}\n\n`;
}

function asTarget(text: string): string {
  return hasColours() ? `\u001b[32m${text}\u001b[39m` : `⟦${text}⟧`;
}

function hasColours(): boolean {
  const { FORCE_COLOR, NO_COLOR } = process.env;
  if (FORCE_COLOR !== undefined) return FORCE_COLOR !== '0';
  return process.stdout.isTTY === true && (NO_COLOR ?? '') === '';
}

function thousands(n: number): string {
  return Math.round(n).toLocaleString('en-US');
}
