// Samples of a bench: exported from a config, chosen over the lengths, written for the programs that are compared.
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { build, root, SetupError } from '../bootstrap/steps.mjs';

/** Largest batch that PEFT is tried with. */
export const LARGEST_BATCH = 16;

/** What `export_samples.mjs` prints with some flags. */
export function exportSamples(flags, config, overrides) {
  const script = join(root, 'scripts/export_samples.mjs');
  const { status, stdout } = spawnSync(process.execPath, [script, ...flags, config, ...overrides], {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    maxBuffer: 1 << 30,
  });
  if (status !== 0) throw new SetupError(`${config}: expected its samples, got exit code ${status}.`);
  return samplesOf(stdout);
}

export function samplesOf(text) {
  const lines = text.split('\n').filter((line) => line !== '');
  return lines.map((line) => ({ line, length: JSON.parse(line).input_ids.length }));
}

export const sortByLength = (samples) => [...samples].sort((a, b) => a.length - b.length);

/** At most `count` of a list, evenly over it. */
export function spread(list, count) {
  if (count >= list.length) return list;
  return Array.from({ length: count }, (_, i) => list[Math.floor(((i + 0.5) * list.length) / count)]);
}

/** About `count` samples as largest batches of neighbours in length, so that they are padded as among all samples. */
export function spreadBatches(sorted, count) {
  const starts = Array.from({ length: Math.ceil(sorted.length / LARGEST_BATCH) }, (_, i) => i * LARGEST_BATCH);
  const batches = starts.map((start) => sorted.slice(start, start + LARGEST_BATCH));
  return spread(batches, Math.ceil(count / LARGEST_BATCH)).flat();
}

/** Neighbours in length about the median that fill a micro-batch of `tokens`: almost nothing of it is padding. */
export function oneBatch(samples, tokens) {
  const median = samples[samples.length >> 1].length;
  const count = Math.max(1, Math.floor(tokens / (median + 1)));
  const first = Math.max(0, (samples.length - count) >> 1);
  return samples.slice(first, first + count);
}

export function writeSamples(name, samples) {
  const path = join(build, 'bench', `${name}.jsonl`);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, samples.map(({ line }) => `${line}\n`).join(''));
  return path;
}
