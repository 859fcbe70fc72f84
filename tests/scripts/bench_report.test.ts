// The figures of `npm run bench` from known measurements: which tokens a rate counts, and which rate the ratio is of.
import { spawnSync } from 'node:child_process';
import { expect, it } from 'vitest';
import { inRepository } from '../support/paths.ts';

/** What describeSpeed prints of one repeat. */
function report(strategy: string, gated: string, ours: object, theirs: object): string[] {
  const common = { num_targets: 7, threads: 2, peak_memory_bytes: 5e6, others_share: 0 };
  const repeats = [{ rocit: { ...common, ...ours }, peft: { ...common, ...theirs } }];
  const result = {
    ...{ machine: { processor: 'P', load: [0] }, source: 'rows', gated, strategy, model: 'model' },
    ...{ lora: { r: 16 }, max_tokens: 2048, steps: null },
    speed: [{ dtype: 'float32', setting: { batch_size: 4, autocast: 'on' }, repeats }],
  };
  const script = `
    import { describeSpeed } from ${JSON.stringify(inRepository('scripts', 'bench', 'report.mjs'))};
    process.stdout.write(describeSpeed(${JSON.stringify(result)}));`;
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
  expect(stderr).toBe('');
  return stdout.trimEnd().split('\n').slice(3);
}

it('with shared prefixes takes the ratio from samples/s, at the mean length of our samples', () => {
  // PEFT runs half of the samples, which are shorter.
  const ours = { num_samples: 8, num_tokens: 1000, num_equivalent_tokens: 4000, seconds: 10 };
  const theirs = { num_samples: 4, num_tokens: 1600, num_equivalent_tokens: 1600, seconds: 32 };
  expect(report('tree', 'zh', ours, theirs)).toMatchInlineSnapshot(`
    [
      "                                               tokens/s  equivalent tokens/s  samples/s  MB over loading  others %  ratio",
      "rocit float32                                     100.0                400.0       0.80                5         0   8.00",
      "PEFT float32, batch 4, autocast on, 4 samples      50.0                 50.0       0.10                5         0",
      "float32: 8.00 times PEFT in samples/s (4.00 from fewer tokens, 2.00 from the kernels; gate 6.5: holds, aim 10: missed)",
    ]
  `);
});

it('without sharing takes the ratio from tokens/s', () => {
  const counts = { num_samples: 8, num_tokens: 4000, num_equivalent_tokens: 4000 };
  expect(report('sequence', 'unshared', { ...counts, seconds: 10 }, { ...counts, seconds: 18 })).toMatchInlineSnapshot(`
    [
      "                                               tokens/s  equivalent tokens/s  samples/s  MB over loading  others %  ratio",
      "rocit float32                                     400.0                400.0       0.80                5         0   1.80",
      "PEFT float32, batch 4, autocast on, 8 samples     222.2                222.2       0.44                5         0",
      "float32: 1.80 times PEFT in tokens/s (1.00 from fewer tokens, 1.80 from the kernels; gate 1.7: holds, aim 2.2: missed)",
    ]
  `);
});
