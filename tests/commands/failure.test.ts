import { describe, expect, it } from 'vitest';
import { describeFailure } from '../../src/commands/failure.ts';
import { Interrupted, UserError } from '../../src/core/errors.ts';

describe('describeFailure', () => {
  it('a mistake of the user: the message alone, exit code 2', () => {
    expect(describeFailure(new UserError('lora.r: expected 1, got 2; mend it.'))).toEqual({
      text: 'lora.r: expected 1, got 2; mend it.',
      code: 2,
    });
  });

  it('a signal: 130 or 143', () => {
    expect(describeFailure(new Interrupted('SIGINT'))).toEqual({ text: 'stopped by SIGINT', code: 130 });
    expect(describeFailure(new Interrupted('SIGTERM'))).toEqual({ text: 'stopped by SIGTERM', code: 143 });
  });

  it('a bug: the stack, a request to report it, exit code 1', () => {
    const { text, code } = describeFailure(new TypeError('x is undefined'));
    expect(code).toBe(1);
    expect(text).toMatch(/^TypeError: x is undefined\n +at .*failure\.test\.ts/);
    expect(text).toContain('please report it');
    expect(describeFailure('a thrown text').text).toMatch(/^a thrown text\nThis is a bug/);
  });
});
