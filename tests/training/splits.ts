// A prepared split in memory.
import type { PreparedSplit } from '../../src/data/prepared.ts';
import type { TokenizedSample } from '../../src/data/sample.ts';
import { emptyStats } from '../../src/data/split_writer.ts';

export function splitOf(samples: readonly TokenizedSample[]): PreparedSplit {
  const roles = [...new Set(samples.map(({ role }) => role))];
  const tokens = samples.reduce((sum, { input_ids }) => sum + input_ids.length, 0);
  const targets = samples.reduce((sum, { is_target }) => sum + is_target.reduce((a, b) => a + b, 0), 0);
  const counts = { roles: roles.length, questions: samples.length, samples: samples.length, tokens, targets };
  return {
    ...{ name: 'made up', numSamples: samples.length, roles, hash: '' },
    roleIds: Int32Array.from(samples, ({ role }) => roles.indexOf(role)),
    questionIds: Int32Array.from(samples, ({ question_id }) => question_id),
    stats: { ...emptyStats(), ...counts },
    sample(i) {
      const sample = samples[i];
      if (sample === undefined) throw new Error(`no sample ${i}`);
      return sample;
    },
  };
}
