import { stripVTControlCharacters } from 'node:util';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { clearBeforeLine, log } from '../../src/core/log.ts';

afterEach(() => vi.restoreAllMocks());

function stderrOf(work: () => void): string {
  let text = '';
  vi.spyOn(process.stderr, 'write').mockImplementation((chunk) => {
    text += String(chunk);
    return true;
  });
  work();
  return text;
}

describe('log', () => {
  it('writes lines to stderr and nothing to stdout', () => {
    const stdout = vi.spyOn(process.stdout, 'write');
    const text = stderrOf(() => {
      log.info('one');
      log.warn('two');
    });
    expect(stripVTControlCharacters(text)).toBe('one\nwarning: two\n');
    expect(stdout).not.toHaveBeenCalled();
  });

  it('says a text once for each key', () => {
    const text = stderrOf(() => {
      log.once('k', 'first');
      log.once('k', 'second');
      log.once('l', 'third');
    });
    expect(text).toBe('first\nthird\n');
  });

  it('clears a progress bar before each line', () => {
    const text = stderrOf(() => {
      clearBeforeLine(() => process.stderr.write('<clear>'));
      log.info('a');
      clearBeforeLine(() => {});
      log.info('b');
    });
    expect(text).toBe('<clear>a\nb\n');
  });
});
