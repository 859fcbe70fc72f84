// One run from start to end through the command line: what it prints, what it leaves, what another one in its place finds.
import { copyFileSync, existsSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import type { CliResult } from '../support/cli.ts';
import { inRepository } from '../support/paths.ts';
import { metricsRows, namesIn, stateOf, tinyRun } from '../training/tiny_run.ts';

const STEP_KEYS = [
  'step',
  'epoch',
  'loss',
  'learning_rate',
  'grad_norm',
  'num_samples',
  'num_targets',
  'num_tokens',
  'num_equivalent_tokens',
  'step_seconds',
  'tokens_per_second',
  'samples_per_second',
];
const STEPS = 8;
const EVALUATED = [0, 3, 6, 8];

/** Every file and folder below a folder, sorted. */
function treeOf(folder: string): string[] {
  return readdirSync(folder, { recursive: true }).map(String).sort();
}

describe('rocit train', () => {
  const run = tinyRun();
  let result: CliResult;
  beforeAll(async () => {
    result = await run.train();
  });

  it('prints the run folder on stdout, all else on stderr', () => {
    expect(result).toMatchObject({ code: 0, stdout: 'run\n' });
    expect(result.stderr).toContain('24 training samples, 6 held out');
    expect(result.stderr).toMatch(
      /\npacking tree: \d+ → \d+ tokens a sample \(\d\.\d times fewer\), .* over 8 steps\n/,
    );
    for (let step = 1; step <= STEPS; step++) {
      expect(result.stderr).toMatch(
        new RegExp(
          `\\nstep ${step}/8 · loss [\\d.]+ · lr \\d.\\d\\de-\\d · grad norm [\\d.]+ · \\d+ tokens/s · [\\d.]+ samples/s · \\d+ equivalent tokens/s · memory [\\d.]+ GB · ETA \\d+ s\\n`,
        ),
      );
    }
    const evaluated = [...result.stderr.matchAll(/\nstep (\d+): held-out loss \d\.\d{4}/g)].map(([, step]) =>
      Number(step),
    );
    expect(evaluated).toEqual(EVALUATED);
  });

  it('leaves a run folder of exactly this layout', () => {
    const files = [
      'README.md',
      'adapter_config.json',
      'adapter_model.safetensors',
      'prompt_template.json',
      'run_state.json',
      'run_state.safetensors',
      'tokenizer.json',
      'tokenizer_config.json',
    ];
    expect(namesIn(run.at('run'))).toEqual([
      'best',
      'config.yaml',
      'last',
      'metrics.jsonl',
      'step_000006',
      'step_000008',
    ]);
    for (const step of ['step_000006', 'step_000008']) expect(namesIn(run.at('run', step))).toEqual(files);
    expect(readlinkSync(run.at('run', 'last'))).toBe('step_000008');
    for (const name of ['tokenizer.json', 'tokenizer_config.json']) {
      expect(readFileSync(run.at('run', 'last', name))).toEqual(readFileSync(run.at('tiny', name)));
    }
    const template = JSON.parse(readFileSync(run.at('run', 'last', 'prompt_template.json'), 'utf8')) as object;
    expect(template).toMatchObject({ format_version: 1, name: 'chat_template', markup: null });
  });

  it('writes one object a step into metrics.jsonl, with exactly these keys, and the first evaluation before them', () => {
    const rows = metricsRows(run.at('run'));
    expect(rows.map(({ step }) => step)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
    expect(Object.keys(rows[0] ?? {})).toEqual(['step', 'epoch', 'eval_loss']);
    for (const row of rows.slice(1)) {
      const isEvaluated = EVALUATED.includes(Number(row.step));
      expect(Object.keys(row)).toEqual([...STEP_KEYS, ...(isEvaluated ? ['eval_loss'] : [])]);
      expect(row.num_samples).toBe(6);
      expect(row.num_tokens).toBeLessThan(Number(row.num_equivalent_tokens));
      for (const value of Object.values(row)) expect(Number.isFinite(value)).toBe(true);
    }
    expect(rows.at(-1)?.epoch).toBe(2);
    expect(Number(rows.at(-1)?.eval_loss)).toBeLessThan(Number(rows[0]?.eval_loss) - 0.1);
  });

  it('links best to the step with the lowest held-out loss', () => {
    const rows = metricsRows(run.at('run')).filter(({ eval_loss, step }) => eval_loss !== undefined && step !== 0);
    const best = rows.reduce((a, b) => (Number(b.eval_loss) < Number(a.eval_loss) ? b : a));
    expect(readlinkSync(run.at('run', 'best'))).toBe(`step_${String(best.step).padStart(6, '0')}`);
  });

  it('writes a model card with base, data, template, settings and losses', () => {
    const card = readFileSync(run.at('run', 'last', 'README.md'), 'utf8');
    const front = parse(card.split('---\n')[1] ?? '') as object;
    expect(front).toMatchObject({ base_model: 'tiny', library_name: 'peft' });
    const losses = metricsRows(run.at('run')).filter(({ eval_loss }) => eval_loss !== undefined);
    for (const { eval_loss } of losses) expect(card).toContain(Number(eval_loss).toFixed(4));
    for (const text of [
      '| training samples | 24 |',
      '| lora.r | 4 |',
      'chat_template',
      '<|im_start|>',
      '| training.seed | 0 |',
    ])
      expect(card).toContain(text);
  });

  it('stores a config that trains the same adapter again', async () => {
    copyFileSync(run.at('run', 'config.yaml'), run.at('config_again.yaml'));
    expect(parse(readFileSync(run.at('config_again.yaml'), 'utf8'))).toMatchObject({
      lora: { r: 4 },
      output_dir: 'run',
    });
    copyFileSync(run.at('config.yaml'), run.at('config_first.yaml'));
    copyFileSync(run.at('config_again.yaml'), run.at('config.yaml'));
    const again = await run.train(['output_dir=again', '--json']);
    copyFileSync(run.at('config_first.yaml'), run.at('config.yaml'));
    const { steps, folder, best, evaluations } = JSON.parse(again.stdout) as Record<string, unknown>;
    expect({ code: again.code, steps, folder }).toEqual({ code: 0, steps: STEPS, folder: 'again' });
    expect(evaluations).toHaveLength(EVALUATED.length);
    expect(best).toMatchObject({ step: expect.any(Number), eval_loss: expect.any(Number) });
    const [first, second] = [stateOf(run.at('run')), stateOf(run.at('again'))];
    expect({ ...second, state: null }).toEqual({ ...first, state: null });
  });

  it('refuses a folder that holds a run, and leaves it as it was', async () => {
    const before = [treeOf(run.at('run')), stateOf(run.at('run'))];
    expect(await run.train()).toMatchObject({
      ...{ code: 2, stdout: '' },
      stderr: expect.stringContaining(
        '\nrun: expected an empty output_dir, got one that holds a run; continue it with --resume, replace it with --overwrite, or choose another output_dir.\n',
      ),
    });
    expect([treeOf(run.at('run')), stateOf(run.at('run'))]).toEqual(before);
  });

  it('does nothing when a finished run is resumed', async () => {
    const before = [treeOf(run.at('run')), stateOf(run.at('run'))];
    const resumed = await run.train(['--resume']);
    expect(resumed).toMatchObject({ code: 0, stdout: 'run\n' });
    expect(resumed.stderr).not.toMatch(/\nstep \d/);
    expect([treeOf(run.at('run')), stateOf(run.at('run'))]).toEqual(before);
  });

  it('refuses to resume with changed settings and shows what changed', async () => {
    const before = treeOf(run.at('run'));
    const { code, stderr } = await run.train([
      '--resume',
      'lora.r=2',
      'lora.target_modules=[q_proj]',
      'packing.strategy=sequence',
      'training.seed=1',
    ]);
    expect(code).toBe(2);
    expect(stderr.slice(stderr.indexOf('\nrun: ') + 1)).toMatchInlineSnapshot(`
      "run: expected the settings and inputs this run began with, got changes:
        lora.r: 4 → 2
        lora.target_modules: "all-linear" → ["q_proj"]
        packing.strategy: "tree" → "sequence"
        training.seed: 0 → 1
      undo them, or train into another output_dir.
      "
    `);
    expect(treeOf(run.at('run'))).toEqual(before);
  });

  it('replaces a run with --overwrite, also one of other settings', async () => {
    const { code } = await run.train(['--overwrite', 'training.max_steps=1', 'lora.r=2']);
    expect(code).toBe(0);
    expect(namesIn(run.at('run'))).toEqual(['best', 'config.yaml', 'last', 'metrics.jsonl', 'step_000001']);
  });
});

describe('rocit train --profile', () => {
  const run = tinyRun({ training: { max_steps: 2 } });

  it('trains as without and writes a trace of every step and operation', async () => {
    const { code, stderr } = await run.train(['--profile', 'trace.json']);
    expect(code).toBe(0);
    expect(stderr).toMatch(
      /\ntrace\.json: profile of \d+ steps, \d+\.\d s\n( +\d+\.\d\d % {2}\S.*\n)+overhead, all but the compute of our kernels: \d+\.\d\d %\n$/,
    );
    const events = JSON.parse(readFileSync(run.at('trace.json'), 'utf8')) as { name: string; cat?: string }[];
    expect(events.filter(({ cat }) => cat === 'steps').map(({ name }) => name)).toEqual(['step 1', 'step 2']);
    expect(events.filter(({ cat }) => cat === 'operations').length).toBeGreaterThan(100);
    const profiled = stateOf(run.at('run'));
    expect((await run.train(['--overwrite'])).code).toBe(0);
    expect(stateOf(run.at('run'))).toEqual(profiled);
  });

  it('needs a run', async () => {
    const { code, stderr } = await run.train(['--profile', 'trace.json', '--dry-run']);
    expect(code).toBe(2);
    expect(stderr).toBe('command line: expected a run for --profile, got --dry-run; leave one of them out.\n');
  });
});

describe('rocit train --dry-run', () => {
  const run = tinyRun();

  it('prints the config with origins, steps, packs, memory and time, and writes nothing but prepared data', async () => {
    const { code, stdout } = await run.train(['--dry-run', 'lora.r=3']);
    expect(code).toBe(0);
    expect(stdout).toContain('  r: 3 # command line\n  lora_alpha: 8 # file\n');
    expect(stdout).toMatch(
      /\n8 steps · 48 samples · \d+ tokens to compute, \d+ targets · \d+ packs\npacking tree: \d+ → \d+ tokens a sample \(\d\.\d times fewer\), \d\.\d packs a step, \d+ % full, over 8 steps · 3072 trainable parameters\nmemory about .*\ntime about .*\n$/,
    );
    expect(treeOf(run.folder).filter((name) => !/^(rows|tiny)\b/.test(name) && !name.includes('.prepared/'))).toEqual([
      'checkpoints',
      'checkpoints/.prepared',
      'config.yaml',
    ]);
  });

  it('gives the same as one JSON object, with numbers that a run then meets', async () => {
    const dry = JSON.parse((await run.train(['--dry-run', '--json'])).stdout) as Record<string, number>;
    const { code } = await run.train();
    expect(code).toBe(0);
    const rows = metricsRows(run.at('run')).slice(1);
    const sum = (key: string) => rows.reduce((total, row) => total + Number(row[key]), 0);
    expect(dry).toMatchObject({
      steps: rows.length,
      samples: sum('num_samples'),
      tokens: sum('num_tokens'),
      equivalent_tokens: sum('num_equivalent_tokens'),
      targets: sum('num_targets'),
    });
    expect(dry.packs).toBeGreaterThan(rows.length);
    expect(dry).toMatchObject({
      config: { lora: { r: 4 }, output_dir: 'run' },
      memory: { weights: expect.any(Number) },
    });
  });
});

describe('without our kernels, and without TensorFlow', () => {
  const run = tinyRun({ training: { max_steps: 3 }, lora: { lora_dropout: 0 } });
  const losses = (folder: string) => metricsRows(run.at(folder)).map(({ loss, eval_loss }) => [loss, eval_loss]);

  it('the same config trains to the same losses', async () => {
    const results = await Promise.all([
      run.train(['output_dir=kernels']),
      run.train(['output_dir=compositions'], { env: { ROCIT_KERNELS: 'off' } }),
      run.train(['output_dir=tfjs'], { env: { ROCIT_BACKEND: 'tfjs' } }),
    ]);
    expect(results.map(({ code }) => code)).toEqual([0, 0, 0]);
    const hasKernels = existsSync(inRepository('build', 'rocit_kernels.node'));
    const counts = results.map(({ stderr }) => Number(/, (\d+) kernels/.exec(stderr)?.[1]));
    expect(counts).toEqual([hasKernels ? expect.toSatisfy((count: number) => count > 0) : 0, 0, 0]);
    expect(results[2].stderr).toContain('Running on tfjs');
    for (const other of ['compositions', 'tfjs']) {
      losses('kernels').forEach((row, i) => {
        row.forEach((value, k) => {
          const theirs = losses(other)[i]?.[k];
          if (value === undefined) expect(theirs).toBeUndefined();
          else expect(theirs).toBeCloseTo(Number(value), 4);
        });
      });
    }
  });

  it('a run that goes on without kernels says that it is not bit for bit', async () => {
    await run.train(['output_dir=moved', 'training.save_steps=1']);
    rmSync(run.at('moved', 'step_000003'), { recursive: true });
    const { code, stderr } = await run.train(['output_dir=moved', '--resume', 'training.save_steps=1'], {
      env: { ROCIT_KERNELS: 'off' },
    });
    expect(code).toBe(0);
    expect(stderr).toMatch(/moved: kernels was \[.*\] and is now \[\]; the run goes on, but not bit for bit\./);
    expect(stderr).toContain('continuing after step 2 of 3');
  });
});
