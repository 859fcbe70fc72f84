import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { leafPaths } from '../../src/config/mistakes.ts';
import { type Config, configSchema } from '../../src/config/schema.ts';
import { dryRun } from '../../src/training/dry_run.ts';
import { type TrainEvents, train } from '../../src/training/train.ts';
import { temporaryFolder } from '../support/temporary.ts';
import { writeTinyModel } from '../support/tiny_model.ts';
import { recordReads } from './config_keys.ts';

const SILENT: TrainEvents = {
  onPrepare: () => {},
  onStart: () => {},
  onStepProgress: () => {},
  onStep: () => {},
  onEvaluationProgress: () => {},
  onEvaluation: () => {},
  onSave: () => {},
};

describe('train', () => {
  const folder = temporaryFolder();
  const home = process.cwd();
  afterAll(() => process.chdir(home));

  it('reads every key of the config: none is without effect', async () => {
    writeTinyModel(folder);
    process.chdir(folder);
    const row = (i: number) => `${JSON.stringify({ role: 'Mara', question: `Who ${i}?`, generated: ['Me.'] })}\n`;
    const path = 'data/rolebench-eng/instruction-generalization/general/train.jsonl';
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, [0, 1, 2, 3].map(row).join(''));
    const data = { path: 'data', kinds: ['general'], eval_split: null, eval_fraction: 0.25, max_seq_length: 512 };
    // Two steps, so that one comes after the warm-up.
    const batching = { samples_per_step: 2 };
    const config: Config = configSchema.parse({ model: { base: 'tiny' }, data, batching, output_dir: 'run' });
    const read = new Set<string>();
    const recorded = recordReads(config, read);
    await train({ config: recorded, text: '' }, { resume: false, overwrite: false }, SILENT);
    await dryRun(recorded, () => {});
    expect(leafPaths().filter((leaf) => !read.has(leaf))).toEqual([]);
  });
});
