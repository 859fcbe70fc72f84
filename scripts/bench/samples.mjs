// The samples a bench runs on: training rows of a config with their own labels, chosen evenly over the lengths.
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { root, SetupError } from '../bootstrap/steps.mjs';

/** Training samples of a config: all of them sorted by length, or those of one step of its plan in their order. */
export function exportSamples(config, overrides, step = null) {
  const script = join(root, 'scripts/export_samples.mjs');
  const which = step === null ? ['--train'] : ['--step', String(step)];
  const { status, stdout } = spawnSync(process.execPath, [script, ...which, config, ...overrides], {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    maxBuffer: 1 << 30,
  });
  if (status !== 0) throw new SetupError(`${config}: expected its samples, got exit code ${status}.`);
  return step === null ? sortByLength(stdout) : samplesOf(stdout);
}

function samplesOf(text) {
  const lines = text.split('\n').filter((line) => line !== '');
  return lines.map((line) => ({ line, length: JSON.parse(line).input_ids.length }));
}

/** Lines of `export_samples.mjs`, sorted by length. */
export function sortByLength(text) {
  return samplesOf(text).sort((a, b) => a.length - b.length);
}

/** At most `count` samples, evenly over the lengths. */
export function spread(samples, count) {
  if (count >= samples.length) return samples;
  return Array.from({ length: count }, (_, i) => samples[Math.floor(((i + 0.5) * samples.length) / count)]);
}

/** Neighbours in length about the median that fill a micro-batch of `tokens`: almost nothing of it is padding. */
export function oneBatch(samples, tokens) {
  const median = samples[samples.length >> 1].length;
  const count = Math.max(1, Math.floor(tokens / (median + 1)));
  const first = Math.max(0, (samples.length - count) >> 1);
  return samples.slice(first, first + count);
}

export function writeSamples(path, samples) {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, samples.map(({ line }) => `${line}\n`).join(''));
  return path;
}
