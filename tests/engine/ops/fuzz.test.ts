// The operations on random calls: what fits is computed, a mistake is refused by an error that names the operation, what
// it expected and what it got, by the kernels and the compositions alike. The doors have tests/kernels/door_fuzz.test.ts.
import { afterAll, describe, expect, it } from 'vitest';
import { startEngine, withoutKernels } from '../../../src/engine/runtime.ts';
import { liveTensors } from '../../../src/engine/tensor.ts';
import { type Call, outcomeOf } from '../../support/calls.ts';
import { fuzz } from '../../support/mistakes.ts';
import { temporaryFolder } from '../../support/temporary.ts';
import { opCalls } from './op_calls.ts';

const { kernels } = await startEngine();
const figures: string[] = [];
afterAll(() => {
  console.info(`random calls of operations: ${figures.join(', ')}`);
  expect(liveTensors()).toBe(0);
});

/** What both say, but for what the kernel knows less well: which value of a file is not finite. */
async function outcomeOfBoth(call: Call): Promise<string | null> {
  const [kernel, composition] = [outcomeOf(call), await withoutKernels(() => outcomeOf(call))];
  const same = (message: string | null) =>
    message?.replace(/got (NaN or Inf|NaN|-?Infinity) at index/, 'got one at index');
  expect(same(kernel)).toBe(same(composition));
  return kernel;
}

describe('random calls', () => {
  it('meet kernels', () => expect(kernels.length).toBeGreaterThan(0));

  it.each(Object.entries(opCalls(temporaryFolder())))('of %s', async (op, calls) => {
    const reason =
      op === 'read_tensor' ? /^(read_tensor|\/.*): expected .*, got /s : new RegExp(`^${op}: expected .*(, got| got) `);
    const { computed, refused } = await fuzz(calls, { runs: 250, reason }, outcomeOfBoth);
    figures.push(`${op} ${computed} computed, ${refused} refused`);
    expect(computed).toBeGreaterThan(100);
    expect(refused).toBeGreaterThan(80);
  });
});
