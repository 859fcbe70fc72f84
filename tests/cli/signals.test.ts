import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { rocit, startRocit } from '../support/cli.ts';
import { inRepository } from '../support/paths.ts';
import { temporaryFolder } from '../support/temporary.ts';

const folder = temporaryFolder();
const tiny = join(folder, 'tiny');

/** Starts an answer that takes minutes, and waits for its first text. */
async function startLongAnswer() {
  const args = ['generate', inRepository('configs/tiny.yaml'), `model.base=${tiny}`, 'data.path=data/sample'];
  const flags = [
    '--role',
    'Hollis Vapour',
    '--question',
    'Who are you?',
    '--max-new-tokens',
    '2900',
    '--temperature',
    '2',
  ];
  const run = startRocit([...args, ...flags]);
  await new Promise((resolve) => run.process.stdout?.once('data', resolve));
  return run;
}

beforeAll(async () => {
  mkdirSync(folder, { recursive: true });
  expect((await rocit(['fetch', 'tiny-random-llama', '--output', tiny])).code).toBe(0);
});

describe('signals', () => {
  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('%s stops the work, says so and ends with %i', async (signal, code) => {
    const run = await startLongAnswer();
    run.process.kill(signal);
    const result = await run.done;
    expect(result).toMatchObject({ code, signal: null });
    expect(result.stderr).toContain(`${signal}: stopping; once more ends at once.\n`);
    expect(result.stderr).toContain(`stopped by ${signal}\n`);
    expect(result.stderr).not.toContain('    at ');
  });

  it('a second signal ends at once, with the code of the second', async () => {
    const run = await startLongAnswer();
    run.process.kill('SIGINT');
    run.process.kill('SIGTERM');
    const result = await run.done;
    // Signals that come together may be taken in either order.
    const first = /(SIGINT|SIGTERM): stopping/.exec(result.stderr)?.[1];
    expect(['SIGINT', 'SIGTERM']).toContain(first);
    expect(result.code).toBe(first === 'SIGINT' ? 143 : 130);
    expect(result.stderr).not.toContain('stopped by');
  });

  it('a reader that closes the pipe ends the work quietly', async () => {
    const run = await startLongAnswer();
    run.process.stdout?.destroy();
    const result = await run.done;
    expect(result.code).toBe(0);
    expect(result.stderr).not.toContain('EPIPE');
  });
});
