import { describe, expect, it } from 'vitest';
import { rocit } from '../support/cli.ts';
import { helpFlags, verbNames } from '../support/help.ts';

/** Hyperparameters are keys of the config, never flags: a new flag needs a reason and a line here. */
const FROZEN_FLAGS: Record<string, string[]> = {
  doctor: ['--json'],
  fetch: ['--output', '--revision'],
  generate: ['--adapter', '--json', '--max-new-tokens', '--question', '--role', '--seed', '--temperature', '--top-p'],
  prepare: ['--show'],
  schema: [],
  score: ['--adapter'],
  train: ['--dry-run', '--json', '--overwrite', '--profile', '--resume'],
};

describe('rocit --help', () => {
  it('lists every verb with a line', async () => {
    const { code, stdout, stderr } = await rocit(['--help']);
    expect(code).toBe(0);
    expect(stderr).toBe('');
    expect(verbNames(stdout)).toEqual(Object.keys(FROZEN_FLAGS).sort());
  });

  it.each(Object.keys(FROZEN_FLAGS))('%s: has its frozen flags, each with a meaning, and an example', async (verb) => {
    const { code, stdout } = await rocit([verb, '--help']);
    expect(code).toBe(0);
    expect(helpFlags(stdout)).toEqual(FROZEN_FLAGS[verb]);
    expect(stdout).toContain(`\n  rocit ${verb}`);
    expect(stdout).toContain('Examples:');
  });

  it('--version prints the version of the package', async () => {
    const { code, stdout } = await rocit(['--version']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});

describe('mistakes in the call end with 2, one line on stderr and nothing on stdout', () => {
  it.each([
    [[], 'expected a verb, got none'],
    [['docter'], 'Did you mean doctor'],
    [['doctor', '--jsn'], 'expected known flags and key=value, got jsn'],
    [['doctor', 'x'], 'expected known flags and key=value, got x'],
    [['schema', 'x', 'y'], 'expected known flags and key=value, got x, y'],
    [['fetch'], 'Not enough non-option arguments: got 0, need at least 1'],
  ])('rocit %j', async (args, text) => {
    expect(await rocit(args)).toEqual({
      code: 2,
      signal: null,
      stdout: '',
      stderr: `command line: ${text}; \`rocit --help\` lists verbs and flags.\n`,
    });
  });
});
