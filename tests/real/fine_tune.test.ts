// Three real steps on the sample roles, killed once and resumed; then the adapter in our scoring and in PEFT.
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { readSafetensorsHeader } from '../../src/checkpoint/safetensors.ts';
import { sha256File } from '../../src/core/files.ts';
import type { CliResult } from '../support/cli.ts';
import { inRepository } from '../support/paths.ts';
import { temporaryFolder } from '../support/temporary.ts';
import { metricsOf, untilStderr } from '../training/tiny_run.ts';
import { BASE, FETCH_LIMIT, fetchBase, SAMPLE, taskOf } from './smollm2.ts';
import { torchPython } from './torch_python.ts';

interface Score {
  role: string;
  num_targets: number;
  loss_sum: number;
}

const TRAIN_LIMIT = 240_000;
const HELD_OUT = 6;
/** 24 samples to train on, one in five of the file held out; two packs a step. */
const SETTINGS = [
  SAMPLE,
  'data.kinds=[role_specific]',
  'data.train_split=test',
  'data.eval_split=null',
  'data.eval_fraction=0.2',
  'lora.lora_dropout=0',
  'packing.max_tokens_per_pack=640',
  'batching.samples_per_step=4',
  'batching.roles_per_step=4',
  'schedule.name=constant',
  'schedule.warmup_ratio=0',
  'training.max_steps=3',
  'training.eval_steps=3',
  'training.save_steps=1',
];

const folder = temporaryFolder();
const sample = taskOf('sample_smollm2.yaml', SETTINGS, folder);
const adapter = join(folder, 'run', 'best');
let frozen = '';
let trained: CliResult;

function scoresOf({ code, stdout }: CliResult): Score[] {
  expect(code).toBe(0);
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Score);
}

function meanLoss(scores: readonly Score[]): number {
  const sum = (of: (score: Score) => number) => scores.reduce((total, score) => total + of(score), 0);
  return sum(({ loss_sum }) => loss_sum) / sum(({ num_targets }) => num_targets);
}

/** Held-out loss before the first and after the last step. */
function heldOutLosses(): [before: number, after: number] {
  const rows = metricsOf(join(folder, 'run')).filter((row) => row.eval_loss !== undefined);
  expect(rows.map(({ step }) => step)).toEqual([0, 3]);
  return [Number(rows[0]?.eval_loss), Number(rows[1]?.eval_loss)];
}

function expectRelative(found: number, expected: number, limit: number): void {
  expect(Math.abs(found / expected - 1)).toBeLessThan(limit);
}

beforeAll(async () => {
  await fetchBase();
  frozen = await sha256File(join(BASE, 'model.safetensors'));
  trained = await sample.run('train', 'output_dir=run');
}, FETCH_LIMIT + TRAIN_LIMIT);

describe('rocit train on the real model', () => {
  it('lowers the held-out loss, with finite figures each step', () => {
    expect(trained).toMatchObject({ code: 0, stdout: 'run\n' });
    const steps = metricsOf(join(folder, 'run')).slice(1);
    expect(steps.map(({ step }) => step)).toEqual([1, 2, 3]);
    for (const { loss, grad_norm, num_samples } of steps) {
      expect([loss, grad_norm].every(Number.isFinite)).toBe(true);
      expect(grad_norm).toBeGreaterThan(0);
      expect(num_samples).toBe(4);
    }
    const [before, after] = heldOutLosses();
    console.log(`held-out loss ${before.toFixed(4)} → ${after.toFixed(4)} in three steps`);
    expect(after).toBeLessThan(before - 0.1);
  });

  it('writes an adapter for each linear layer, with all that belongs to it', () => {
    expect(readdirSync(adapter).sort()).toEqual([
      'README.md',
      'adapter_config.json',
      'adapter_model.safetensors',
      'prompt_template.json',
      'run_state.json',
      'run_state.safetensors',
      'tokenizer.json',
      'tokenizer_config.json',
    ]);
    const config = JSON.parse(readFileSync(join(adapter, 'adapter_config.json'), 'utf8')) as object;
    expect(config).toMatchObject({ peft_type: 'LORA', r: 16, lora_alpha: 32, base_model_name_or_path: BASE });
    const tensors = [...readSafetensorsHeader(join(adapter, 'adapter_model.safetensors')).tensors.values()];
    expect(tensors).toHaveLength(30 * 7 * 2);
    expect(new Set(tensors.map(({ dtype }) => dtype))).toEqual(new Set(['F32']));
    // 16 · (in + out) of q, k, v, o, gate, up and down, in 30 layers.
    const parameters = tensors.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
    expect(parameters).toBe(30 * 16 * (2 * (576 + 576) + 2 * (576 + 192) + 3 * (576 + 1536)));
    const tokenizers = [adapter, BASE].map((place) => readFileSync(join(place, 'tokenizer.json'), 'utf8'));
    expect(tokenizers[0] === tokenizers[1]).toBe(true);
  });

  it('leaves the frozen weights on disk as they are', async () => {
    expect(await sha256File(join(BASE, 'model.safetensors'))).toBe(frozen);
  });

  it(
    'is killed in its second step, resumed, and ends with the same bytes',
    async () => {
      const started = sample.start('train', 'output_dir=killed');
      await untilStderr(started, /step 1: saved\n/);
      started.process.kill('SIGKILL');
      expect(await started.done).toMatchObject({ signal: 'SIGKILL' });
      expect(readlinkSync(join(folder, 'killed', 'last'))).toBe('step_000001');
      const resumed = await sample.run('train', 'output_dir=killed', '--resume');
      expect(resumed).toMatchObject({ code: 0, stdout: 'killed\n' });
      expect(resumed.stderr).toMatch(/^continuing after step 1 of 3$/m);
      expect(metricsOf(join(folder, 'killed'))).toEqual(metricsOf(join(folder, 'run')));
      for (const name of ['adapter_model.safetensors', 'run_state.safetensors']) {
        const hashes = await Promise.all(['run', 'killed'].map((run) => sha256File(join(folder, run, 'last', name))));
        expect([name, hashes[1]]).toEqual([name, hashes[0]]);
      }
    },
    TRAIN_LIMIT,
  );
});

describe('rocit score on the real model', () => {
  const files = ['scores.jsonl', 'samples.jsonl'].map((name) => join(folder, name));

  it('gives each held-out sample a loss; their means are those that training saw', async () => {
    const [before, after] = heldOutLosses();
    const base = scoresOf(await sample.run('score'));
    const result = await sample.run('score', '--adapter', 'run');
    const tuned = scoresOf(result);
    writeFileSync(files[0] as string, result.stdout);
    expect(tuned).toHaveLength(HELD_OUT);
    expect(tuned.map(({ role, num_targets }) => [role, num_targets])).toEqual(
      base.map(({ role, num_targets }) => [role, num_targets]),
    );
    for (const { num_targets, loss_sum } of [...base, ...tuned]) {
      expect(num_targets).toBeGreaterThan(1);
      expect(loss_sum / num_targets).toBeGreaterThan(0.5);
      expect(loss_sum / num_targets).toBeLessThan(8);
    }
    expectRelative(meanLoss(base), before, 1e-5);
    expectRelative(meanLoss(tuned), after, 1e-5);
  });

  it.skipIf(torchPython() === null)(
    'agrees with PEFT, which loads the adapter whole, within 1e-4 of each loss',
    () => {
      writeFileSync(files[1] as string, sample.samples('eval'));
      const check = inRepository('scripts', 'check_adapter_with_peft.py');
      const peft = spawnSync(torchPython() ?? '', [check, BASE, adapter, ...files], { encoding: 'utf8' });
      console.log(peft.stdout.trimEnd());
      expect(peft).toMatchObject({ status: 0 });
      expect(peft.stdout).toContain('PEFT loads 420 tensors: none missing, none unexpected, same settings');
      expect(peft.stdout).toMatch(new RegExp(`^${HELD_OUT} samples: losses equal PEFT's`, 'm'));
    },
    TRAIN_LIMIT,
  );
});
