// The doors of all kernels on random calls: what fits is computed, a mistake is refused by an error that names the door,
// what it expected and what it got; nothing brings the process down.
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { startEngine } from '../../src/engine/runtime.ts';
import { liveTensors } from '../../src/engine/tensor.ts';
import { type Call, outcomeOf } from '../support/calls.ts';
import { fuzz, mistakesIn } from '../support/mistakes.ts';
import { temporaryFolder } from '../support/temporary.ts';
import { doorCalls } from './door_calls.ts';

const { kernels } = await startEngine();
const isBuilt = kernels.length > 0;
if (!isBuilt) console.log('skipped: the kernels are not built or switched off here (npm run kernels)');

const doors = Object.entries(doorCalls(temporaryFolder()));
const figures: string[] = [];
/** The words of TensorFlow, which checks dtypes and bounds of attributes before the door. */
const wrongAttribute = (door: string) => `Value for attr '\\w+' of .* Op<name=${door};`;
const wrongDtype = (door: string) => `cannot compute ${door} as input #\\d+\\(zero-based\\) was expected to be an? .*`;
const refusal = (door: string, ...reasons: string[]) =>
  new RegExp(`^${door}\\([^()]*\\): Invalid TF_Status: \\d+\nMessage: (${reasons.join('|')})`, 's');
/** read_tensor names the file. */
const ofFiles: Record<string, string[]> = {
  RocitReadTensor: ['RocitReadTensor: .*random_calls: expected .*, got ', 'RocitReadTensor: cannot open /.*: '],
};
/** What stands in the hyper values of adamw. */
const ofHyper = ['betas', 'eps', 'bias corrections'];

/** Names of all arguments and attributes, as a pattern. */
function namesIn(door: string, calls: fc.Arbitrary<Call>): string {
  const { args, settings } = fc.sample(calls, 1)[0] as Call;
  const names = Object.keys(args).map((name) => name.replace(/\[\d+\]$/, ''));
  return [...new Set(names), ...Object.keys(settings), ...(door === 'RocitAdamw' ? ofHyper : [])].join('|');
}

afterAll(() => {
  console.info(`random calls of doors: ${figures.join(', ')}`);
  expect(liveTensors()).toBe(0);
});

describe.skipIf(!isBuilt)('the doors', () => {
  it('are all tried', () => {
    expect(doors.map(([name]) => name)).toEqual(kernels);
  });

  it.each(doors)('%s computes what fits and refuses what does not', async (name, calls) => {
    const own = [`${name}: expected (?=.*\\b(${namesIn(name, calls)})\\b).*, got `, ...(ofFiles[name] ?? [])];
    const reason = refusal(name, ...own, wrongDtype(name), wrongAttribute(name));
    const { computed, refused } = await fuzz(calls, { runs: 300, reason }, outcomeOf);
    figures.push(`${name} ${computed} computed, ${refused} refused`);
    expect(computed).toBeGreaterThan(120);
    expect(refused).toBeGreaterThan(100);
  });

  it.each(doors)('%s refuses every other dtype of every input', (name, calls) => {
    for (const call of fc.sample(calls, { numRuns: 5, seed: 2 })) {
      const mistakes = mistakesIn(call).filter(({ kind }) => kind === 'dtype');
      expect(new Set(mistakes.map((one) => one.name))).toEqual(new Set(Object.keys(call.args)));
      for (const mistake of mistakes)
        expect(outcomeOf(mistake.call)).toMatch(refusal(name, wrongDtype(name), wrongAttribute(name)));
    }
  });
});
