import { writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { leafPaths } from '../../src/config/mistakes.ts';
import { configSchema } from '../../src/config/schema.ts';
import { UserError } from '../../src/core/errors.ts';
import { temporaryFolder } from '../support/temporary.ts';

const folder = temporaryFolder();

function load(yaml: string, overrides: string[] = []) {
  const path = join(folder, 'run.yaml');
  writeFileSync(path, yaml);
  return loadConfig(path, overrides);
}

/** The message of the UserError that a config gives, with the temporary folder taken out. */
function mistakes(yaml: string, overrides: string[] = []): string {
  try {
    load(yaml, overrides);
  } catch (error) {
    if (error instanceof UserError) return error.message.replaceAll(`${folder}/`, '');
    throw error;
  }
  throw new Error('expected a UserError, got a config');
}

describe('loadConfig: values', () => {
  it('an empty file gives every default', () => {
    const { config, origins } = load('# nothing\n');
    expect(config).toEqual(configSchema.parse({}));
    expect([...origins.keys()]).toEqual(leafPaths());
    expect(new Set(origins.values())).toEqual(new Set(['default']));
  });

  it('holds the keys that configs, metrics and other tools rely on, with their defaults', () => {
    expect(load('').text).toMatchInlineSnapshot(`
      "model:
        base: checkpoints/base/smollm2-135m-instruct
        adapter: null
        dtype: float32
      data:
        source: rolebench
        path: data/rolebench
        language: eng
        generalization: instruction
        kinds: [ general, role_specific ]
        train_split: train
        eval_split: test
        eval_fraction: null
        eval_sampling: per_role
        answers: all
        answer_weight: uniform
        template: rolellama
        template_date: 2024-07-26
        on_bad_row: error
        max_seq_length: 1024
        overflow: drop
      lora:
        r: 16
        lora_alpha: 32
        lora_dropout: 0
        target_modules: all-linear
        use_rslora: false
      packing:
        strategy: tree
        max_tokens_per_pack: 4096
      batching:
        samples_per_step: 64
        roles_per_step: 8
      optimizer:
        learning_rate: 0.0002
        betas: [ 0.9, 0.999 ]
        eps: 1e-8
        weight_decay: 0
        max_grad_norm: 1
      schedule:
        name: cosine
        warmup_ratio: 0.03
      training:
        num_epochs: 1
        max_steps: null
        eval_steps: 50
        save_steps: 50
        save_minutes: 10
        save_total_limit: 2
        recompute: none
        seed: 0
      output_dir: checkpoints/my_run
      "
    `);
  });

  it('takes the command line over the file over the default, and says which', () => {
    const { config, origins } = load('lora: { r: 4, lora_alpha: 8 }\ntraining:\n', [
      'lora.r=8',
      'lora.r=2',
      'data.path=x',
    ]);
    expect(config.lora).toMatchObject({ r: 2, lora_alpha: 8, lora_dropout: 0 });
    expect(config.data.path).toBe('x');
    const told = ['lora.r', 'lora.lora_alpha', 'lora.lora_dropout', 'data.path'].map((key) => origins.get(key));
    expect(told).toEqual(['command line', 'file', 'default', 'command line']);
  });

  it('reads override values as YAML: lists, null, numbers, texts with =, whole sections', () => {
    const { config } = load('', [
      'lora.target_modules=[q_proj, v_proj]',
      'batching.roles_per_step=null',
      'optimizer.learning_rate=1e-3',
      'data.path=a=b',
      'training={seed: 3, max_steps: 2}',
      'output_dir="42"',
    ]);
    expect(config.lora.target_modules).toEqual(['q_proj', 'v_proj']);
    expect(config.batching.roles_per_step).toBeNull();
    expect(config.optimizer.learning_rate).toBe(1e-3);
    expect(config.data.path).toBe('a=b');
    expect(config.training).toMatchObject({ seed: 3, max_steps: 2, eval_steps: 50 });
    expect(config.output_dir).toBe('42');
  });

  it('takes ~/ for the home folder in every path', () => {
    const { config } = load('model: { base: ~/base, adapter: ~/run }', ['data.path=~/data', 'output_dir=~/out']);
    const paths = [config.model.base, config.model.adapter, config.data.path, config.output_dir];
    expect(paths).toEqual(['base', 'run', 'data', 'out'].map((name) => join(homedir(), name)));
  });

  it('allows a run without evaluation', () => {
    expect(load('data: { eval_split: null }').config.data).toMatchObject({ eval_split: null, eval_fraction: null });
  });

  it('a section given as a mapping on the command line keeps the other keys of the file', () => {
    const { config, origins } = load('lora: { r: 4, lora_alpha: 8 }', ['lora={r: 2}']);
    expect(config.lora).toMatchObject({ r: 2, lora_alpha: 8 });
    expect(origins.get('lora.lora_alpha')).toBe('file');
  });
});

describe('loadConfig: the printed text', () => {
  it('marks values that are not defaults with their origin', () => {
    const lines = load('lora: { r: 4 }', ['training.seed=7']).text.split('\n');
    expect(lines.filter((line) => line.includes('#'))).toEqual(['  r: 4 # file', '  seed: 7 # command line']);
  });

  it('loads again to the same config, whatever the values', () => {
    // A path that begins with ~ becomes another one.
    const text = fc.string({ minLength: 1 }).filter((value) => value.trim() !== '' && !value.startsWith('~'));
    const values = fc.record({
      base: text,
      output_dir: text,
      learning_rate: fc.double({ min: 1e-12, max: 1, noNaN: true }),
      targets: fc.oneof(fc.constant('all-linear'), fc.array(text, { minLength: 1, maxLength: 3 })),
      max_steps: fc.option(fc.integer({ min: 1 })),
    });
    fc.assert(
      fc.property(values, ({ base, output_dir, learning_rate, targets, max_steps }) => {
        const wanted = configSchema.parse({
          model: { base },
          optimizer: { learning_rate },
          lora: { target_modules: targets },
          training: { max_steps },
          output_dir,
        });
        const first = load(JSON.stringify(wanted));
        expect(first.config).toEqual(wanted);
        expect(load(first.text).config).toEqual(wanted);
      }),
      { numRuns: 200 },
    );
  });
});

describe('loadConfig: mistakes', () => {
  it('lists all unknown keys, wrong types and values out of range in one error', () => {
    const yaml = `
      lora: { rank: 8, lora_dropout: 1.0, lora_alpha: two }
      optim: { lr: 1 }
      learning_rate: 2
      data: { kinds: [general, special], max_seq_length: 3.5, eval_split: 3 }
      optimizer: { betas: [0.9, 1] }
      packing: { strategy: trees }
      schedule: { warmup_ratio: -0.1 }
    `;
    expect(mistakes(yaml, ['lr=3', 'lora.dropout=0', 'training.seed=-1'])).toMatchInlineSnapshot(`
      "run.yaml: expected a valid config, got 14 mistakes; \`rocit schema\` lists every key.
        data.kinds (file): expected a list of at least 1, each general | role_specific, got ["general","special"]. Kinds of RoleBench questions to read.
        data.eval_split (file): expected a text or null, got 3. The held-out file's name without .jsonl or .json; null when eval_fraction draws it from the training file, or for no evaluation.
        data.max_seq_length (file): expected an integer >= 8, got 3.5. Longest sample in tokens, prompt and answer together.
        lora.lora_alpha (file): expected a number > 0, got "two". Scaling is lora_alpha / r, or lora_alpha / sqrt(r) with use_rslora.
        lora.lora_dropout (file): expected a number >= 0 and < 1, got 1. Dropout on the input of lora_A while training; samples that share a token share its mask.
        lora.rank (file): expected a known key, got an unknown one; did you mean lora.r?
        packing.strategy (file): expected tree | sequence | none, got "trees". The same loss and gradients, faster or slower; tree: tokens that samples begin with alike are computed once a micro-batch; sequence: samples laid end to end, none sees another; none: one sample a micro-batch.
        optimizer.betas (file): expected a list of 2, each a number >= 0 and <= 0.999999, got [0.9,1]. Decay rates of the two moments.
        schedule.warmup_ratio (file): expected a number >= 0 and <= 1, got -0.1. Share of the steps with a linear warm-up.
        training.seed (command line): expected an integer >= 0 and <= 4294967295, got -1. Seed of the adapters, the order of samples and dropout.
        optim (file): expected a known key, got an unknown one; did you mean optimizer?
        learning_rate (file): expected a known key, got an unknown one; did you mean optimizer.learning_rate?
        lr (command line): expected a known key, got an unknown one; did you mean optimizer.learning_rate?
        lora.dropout (command line): expected a known key, got an unknown one; did you mean lora.lora_dropout?"
    `);
  });

  it.each([
    [
      'data: { language: zh, generalization: role }',
      'data.generalization (file): expected instruction with data.language zh, got role; only the English half of RoleBench holds out roles.',
    ],
    [
      'data: { eval_fraction: 0.1 }',
      'data.eval_fraction (file): expected null beside data.eval_split test, got 0.1; set data.eval_split=null to hold out a fraction.',
    ],
    [
      'data: { template_date: 26 July }',
      'data.template_date (file): expected a day as YYYY-MM-DD, got "26 July". The day that a chat template is told when it asks for one (strftime_now), so that prompts stay the same.',
    ],
    [
      'data: { kinds: [general, general] }',
      'data.kinds (file): expected each kind once, got ["general","general"]; leave the second one out.',
    ],
    [
      'lora: { target_modules: [q_proj, model.embed_tokens, lm_head] }',
      'lora.target_modules (file): expected linear layers of the decoder, got model.embed_tokens, lm_head; leave out the head and the embeddings, which stay frozen.',
    ],
    [
      'packing: { max_tokens_per_pack: 512 }',
      'packing.max_tokens_per_pack (file): expected at least data.max_seq_length (1024), got 512; a pack must hold the longest sample.',
    ],
  ])('rules between keys: %s', (yaml, line) => {
    const head = 'run.yaml: expected a valid config, got a mistake; `rocit schema` lists every key.';
    expect(mistakes(yaml)).toBe(`${head}\n  ${line}`);
  });

  it('allows role generalization in English and any generalization for chat rows', () => {
    expect(load('data: { generalization: role }').config.data.generalization).toBe('role');
    const chat = load('data: { source: chat_jsonl, language: zh, generalization: role }');
    expect(chat.config.data.source).toBe('chat_jsonl');
  });

  it('names line and column of text that is not YAML', () => {
    expect(mistakes('lora:\n  r: [1\n  x: 2')).toMatchInlineSnapshot(
      `"run.yaml:3:3: expected YAML, got text that does not parse (Flow sequence in block collection must be sufficiently indented and end with a ]); mend that line."`,
    );
    expect(mistakes('lora:\n  r: 1\n  r: 2')).toMatchInlineSnapshot(
      `"run.yaml:3:3: expected YAML, got text that does not parse (Map keys must be unique); mend that line."`,
    );
  });

  it('refuses a file that is no mapping', () => {
    expect(mistakes('- 1\n- 2')).toMatchInlineSnapshot(
      `"run.yaml: expected a mapping of config keys, got a list; see configs/."`,
    );
    expect(mistakes('hello')).toMatchInlineSnapshot(
      `"run.yaml: expected a mapping of config keys, got a string; see configs/."`,
    );
  });

  it('refuses overrides that are no key=value', () => {
    expect(mistakes('', ['lora.r'])).toMatchInlineSnapshot(
      `"command line: expected key=value, got lora.r; write e.g. lora.r=8."`,
    );
    expect(mistakes('', ['lora.r=[1'])).toMatchInlineSnapshot(
      `"command line: expected a YAML value for lora.r, got [1 (Flow sequence must end with a ]); quote it."`,
    );
  });

  it('a missing file is named', () => {
    expect(() => loadConfig('configs/none.yaml')).toThrowErrorMatchingInlineSnapshot(
      `[UserError: configs/none.yaml: expected a config file, got no such file; check the path.]`,
    );
  });

  it('names such as __proto__ and constructor are unknown keys like any other', () => {
    for (const key of ['__proto__.r', 'constructor', 'lora.__proto__', 'lora.toString']) {
      expect(mistakes('', [`${key}=1`])).toContain(`${key} (command line): expected a known key`);
    }
    expect(mistakes('__proto__: { r: 1 }')).toContain('__proto__ (file): expected a known key');
  });

  it('any one-letter slip in a key is answered with that key', () => {
    for (const leaf of leafPaths()) {
      const name = leaf.split('.').at(-1) ?? leaf;
      if (name.length < 4) continue;
      const slip = `${leaf.slice(0, -2)}${leaf.at(-1)}`;
      expect(mistakes('', [`${slip}=1`])).toContain(`did you mean ${leaf}?`);
    }
  });
});
