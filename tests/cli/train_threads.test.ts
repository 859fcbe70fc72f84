// A run gives the same bits with any number of threads: how the doors cut their work into pieces depends on it.
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { rocit } from '../support/cli.ts';
import { inRepository } from '../support/paths.ts';
import { temporaryFolder } from '../support/temporary.ts';
import { stateOf } from '../training/tiny_run.ts';

const folder = temporaryFolder();
const settings = [
  'model.base=tiny',
  `data.path=${inRepository('data/sample')}`,
  'lora.lora_dropout=0.1',
  'packing.max_tokens_per_pack=2048',
];

/** Trains in a process with so many threads; adapter, moments and metrics. */
async function trainWith(threads: number): Promise<unknown> {
  const args = ['train', inRepository('configs/tiny.yaml'), ...settings, `output_dir=run${threads}`];
  const env = { TF_NUM_INTRAOP_THREADS: String(threads) };
  const { code, stderr } = await rocit(args, { cwd: folder, env });
  expect(code, stderr).toBe(0);
  expect(stderr).toContain(`, ${threads} threads, `);
  const { state: _, ...rest } = stateOf(join(folder, `run${threads}`));
  return rest;
}

describe('a run of configs/tiny.yaml', () => {
  let expected: unknown;
  beforeAll(async () => {
    expect(await rocit(['fetch', 'tiny-random-llama', '--output', 'tiny'], { cwd: folder })).toMatchObject({ code: 0 });
    expected = await trainWith(1);
  });

  it.each([2, 3])('on %d threads ends with the bits of one on one thread', async (threads) => {
    expect(await trainWith(threads)).toEqual(expected);
  });
});
