// `rocit prepare <config>`: tokenises the splits, prints a summary table, how the training samples pack, and on request
// samples with their targets and the prefix tree they make.
import type { Config } from '../config/schema.ts';
import { seconds } from '../core/clock.ts';
import { log } from '../core/log.ts';
import { packingQuality } from '../data/packing_quality.ts';
import { prepare } from '../data/prepare.ts';
import type { PrepareProgress } from '../data/prepare_options.ts';
import type { PreparedSplit } from '../data/prepared.ts';
import { placeText } from '../data/refusals.ts';
import type { TokenizedSample } from '../data/sample.ts';
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
    bar.update(progress.bytes / Math.max(1, progress.total_bytes), `${thousands(tokens)} tokens`);
  };
  const { data, training, model } = config;
  const options = { data, tokenizer_folder: resolveBase(model.base), seed: training.seed, onProgress };
  const prepared = await prepare(options).finally(() => bar.stop());
  const took = seconds() - start;
  const speed = `${thousands(tokens)} tokens in ${took.toFixed(1)} s (${thousands(tokens / took)} tokens/s)`;
  log.info(prepared.isFresh ? `${prepared.folder} is up to date` : `${prepared.folder}: ${speed}`);
  const splits = [prepared.train, ...(prepared.eval === null ? [] : [prepared.eval])];
  const count = Math.min(show ?? 0, prepared.train.numSamples);
  if (count > 0) showSamples(prepared.tokenizer, prepared.train, count);
  if (count > 0) for (const split of splits) showExamples(prepared.tokenizer, split);
  process.stdout.write(summaryTable(splits));
  log.info(packingLine(packingQuality(firstSteps(prepared.train, config), config.packing), config.packing));
}

/** The first training steps of the config. */
function firstSteps(split: PreparedSplit, { batching, training, data }: Config): Generator<TokenizedSample[]> {
  const { seed, max_steps } = training;
  const { answer_weight } = data;
  const plan = planRun(split, { ...batching, seed, num_epochs: 1, max_steps, answer_weight });
  return stepsOf(plan, MEASURED_STEPS);
}

function showSamples(tokenizer: Tokenizer, split: PreparedSplit, count: number): void {
  const shown = Array.from({ length: count }, (_, i) => split.sample(i));
  for (const [i, sample] of shown.entries()) process.stdout.write(sampleText(tokenizer, sample, `sample ${i}`));
  process.stdout.write(sampleTreeText(shown, (ids) => tokenizer.decode(ids)));
}

/** One row for each thing that happened to rows of the split: as a sample, or where it stands and why it is none. */
function showExamples(tokenizer: Tokenizer, split: PreparedSplit): void {
  for (const example of split.stats.examples) {
    const { kind, sample, problem } = example;
    const name = `${split.name}, ${kind}`;
    if (sample !== null) process.stdout.write(sampleText(tokenizer, split.sample(sample), name));
    else process.stdout.write(`── ${name}: ${placeText(example)}${problem === null ? '' : `: ${problem}`}\n\n`);
  }
}

/** One row a split: roles, questions, samples, tokens, targets, and what happened to rows and answers, by reason. */
export function summaryTable(splits: readonly Pick<PreparedSplit, 'name' | 'stats'>[]): string {
  const head = [
    'split',
    'roles',
    'questions',
    'samples',
    'tokens',
    'targets',
    'dropped',
    'refused',
    'truncated',
    'answers',
  ];
  const rows = splits.map(({ name, stats }) => [
    name,
    ...[stats.roles, stats.questions, stats.samples, stats.tokens, stats.targets].map(thousands),
    countsText(stats.dropped),
    countsText(stats.refused),
    thousands(stats.truncated),
    countsText(stats.answers, false),
  ]);
  const widths = head.map((title, c) => Math.max(title.length, ...rows.map((row) => row[c]?.length ?? 0)));
  const line = (cells: string[]) =>
    cells.map((cell, c) => (c === 0 ? cell.padEnd(widths[c] ?? 0) : cell.padStart(widths[c] ?? 0))).join('  ');
  return `${[head, ...rows].map(line).join('\n')}\n`;
}

/** A sum and what it is made of: `3 (2 too_long, 1 empty_answer)`; of things that overlap the parts alone. */
function countsText(counts: Readonly<Record<string, number>>, hasSum = true): string {
  const found = Object.entries(counts).filter(([, count]) => count > 0);
  const parts = found.map(([reason, count]) => `${thousands(count)} ${reason}`).join(', ');
  if (found.length === 0) return hasSum ? '0' : '–';
  return hasSum ? `${thousands(found.reduce((sum, [, count]) => sum + count, 0))} (${parts})` : parts;
}

/** The text of a sample, targets green; where colours are off they stand in ⟦ ⟧. */
function sampleText(tokenizer: Tokenizer, sample: TokenizedSample, name: string): string {
  const { role, row, answer_index, input_ids, is_target } = sample;
  const counts = `${input_ids.length} tokens, ${countTargets(is_target)} targets`;
  const head = `── ${name}: ${role}, row ${row}, answer ${answer_index}: ${counts}\n`;
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
