// One run from start to end through the command line: what it prints, what it leaves behind, what a second one finds.
import { readFileSync, readlinkSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { namesIn, tinyRun } from '../training/tiny_run.ts';

describe('t', () => {
  const run = tinyRun();
  it('a', async () => {
    const t = performance.now();
    const r = await run.train();
    console.log(r.stderr, performance.now() - t);
    expect(r.stdout).toBe('run\n');
    console.log(readFileSync(run.at('run', 'metrics.jsonl'), 'utf8'));
    console.log(
      readFileSync(run.at('run', 'last', 'README.md'), 'utf8'),
      namesIn(run.at('run')),
      namesIn(run.at('run/last')),
      namesIn(run.folder),
    );
  });
});
