// Bad input through the command line: exit code 2, nothing on stdout, no stack, the whole text, and no run left behind.
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { TensorInfo } from '../../src/checkpoint/safetensors.ts';
import { readSafetensorsHeader } from '../../src/checkpoint/safetensors.ts';
import { rocit } from '../support/cli.ts';
import { namesIn, tinyRun } from '../training/tiny_run.ts';

const run = tinyRun({ training: { num_epochs: 1, max_steps: 2 } });

/** What the run said after the config it printed. The engine's own start-up lines are left out. */
async function refusal(args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await run.train(args);
  expect({ code, stdout, stderr }).toMatchObject({ code: 2, stdout: '' });
  expect(stderr).not.toMatch(/\n\s+at /);
  expect(namesIn(run.at('run')).filter((name) => name !== 'config.yaml')).toEqual([]);
  const lines = stderr.split(/\n/).filter((line) => !/^(WARNING: All log messages|[IWE]0000 )/.test(line));
  const text = lines.slice(lines.findIndex((line) => line.startsWith('output_dir:')) + 1).join('\n');
  return text.replaceAll(run.folder, '<folder>').trimEnd();
}

/** A copy of a folder of the run under another name. */
function copyOf(name: string, copy: string): string {
  cpSync(run.at(name), run.at(copy), { recursive: true });
  return run.at(copy);
}

function tensorIn(folder: string, name: string): TensorInfo {
  const info = readSafetensorsHeader(join(folder, 'model.safetensors')).tensors.get(name);
  if (info === undefined) throw new Error(`no tensor ${name}`);
  return info;
}

describe('the config', () => {
  it('all mistakes at once: unknown key, wrong type, out of range', async () => {
    expect(await refusal(['lora.rank=4', 'lora.r=four', 'training.num_epochs=0'])).toMatchInlineSnapshot(`
      "config.yaml: expected a valid config, got 3 mistakes; \`rocit schema\` lists every key.
        lora.r (command line): expected an integer >= 1, got "four". Rank of the adapters.
        training.num_epochs (command line): expected an integer >= 1, got 0. Passes over the training samples.
        lora.rank (command line): expected a known key, got an unknown one; did you mean lora.r?"
    `);
  });

  it('targets that are not linear layers of the model', async () => {
    expect(await refusal(['lora.target_modules=[q_proj, query]'])).toMatchInlineSnapshot(
      `"lora.target_modules: expected names of linear layers (q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj), got query; the output head and embeddings cannot carry an adapter."`,
    );
  });

  it('longer samples than the model has positions', async () => {
    expect(await refusal(['data.max_seq_length=8192', 'packing.max_tokens_per_pack=8192'])).toMatchInlineSnapshot(
      `"data.max_seq_length: expected at most the base model's 4096 positions, got 8192; lower it."`,
    );
  });
});

describe('the base model', () => {
  it('unknown', async () => {
    expect(await refusal(['model.base=tony'])).toMatchInlineSnapshot(
      `"model.base: expected a model folder or one of smollm2-135m-instruct, tiny-random-llama, got tony; check the path or fetch the model."`,
    );
  });

  it('a folder without a config', async () => {
    expect(await refusal(['model.base=rows'])).toMatchInlineSnapshot(
      `"rows/tokenizer.json: expected a tokenizer, got no such file; check the path."`,
    );
  });

  it('not a number among its weights', async () => {
    const base = copyOf('tiny', 'base_nan');
    const { offset } = tensorIn(base, 'model.layers.1.mlp.up_proj.weight');
    const bytes = readFileSync(join(base, 'model.safetensors'));
    bytes.writeFloatLE(Number.NaN, offset + 4 * 7);
    writeFileSync(join(base, 'model.safetensors'), bytes);
    // The place in the file is told by our kernel alone.
    expect(await refusal(['model.base=base_nan'])).toMatch(
      /^tensor model\.layers\.1\.mlp\.up_proj\.weight of base_nan\/model\.safetensors: expected finite values .*; fetch or make the file again\.$/s,
    );
  });

  it('a weight file that was cut off', async () => {
    const base = copyOf('tiny', 'base_cut');
    truncateSync(join(base, 'model.safetensors'), 5000);
    expect(await refusal(['model.base=base_cut'])).toMatch(
      /^base_cut\/model\.safetensors: expected .* got .*model\.embed_tokens\.weight.*; download or save it again\.$/,
    );
  });

  it('an adapter that was trained on another base', async () => {
    const { code } = await run.train(['output_dir=mine']);
    expect(code).toBe(0);
    copyOf('mine/last', 'theirs');
    const path = run.at('theirs', 'adapter_model.safetensors');
    const text = readFileSync(path, 'latin1').replaceAll('layers.1.mlp.up_proj', 'layers.9.mlp.up_proj');
    writeFileSync(path, text, 'latin1');
    expect(await refusal(['model.adapter=theirs'])).toMatchInlineSnapshot(
      `"theirs: expected an adapter of this base model, got one of tiny: missing (2): model.layers.1.mlp.up_proj.lora_A, model.layers.1.mlp.up_proj.lora_B; unexpected (2): model.layers.9.mlp.up_proj.lora_A, model.layers.9.mlp.up_proj.lora_B; choose the base it was trained on."`,
    );
    expect(await refusal(['model.adapter=rows'])).toMatchInlineSnapshot(
      `"rows: expected an adapter or the folder of a run, got a folder without adapter_config.json, best and last; check the path."`,
    );
  });

  it('an adapter with other settings than the config; what the config leaves open is the adapter’s', async () => {
    expect((await run.train(['output_dir=ours'])).code).toBe(0);
    writeFileSync(run.at('open.yaml'), readFileSync(run.at('config.yaml'), 'utf8').replace(/^lora:\n( .*\n)+/m, ''));
    const open = ['train', 'open.yaml', 'model.adapter=ours/last', 'output_dir=next'];
    const { code, stderr } = await rocit(open, { cwd: run.folder });
    expect(code).toBe(0);
    expect(stderr).toMatch(/lora:\n {2}r: 4 # adapter\n {2}lora_alpha: 8 # adapter\n {2}lora_dropout: 0.1 # adapter\n/);
    const differing = await rocit([...open, 'lora.lora_alpha=16', 'output_dir=never'], { cwd: run.folder });
    expect([differing.code, namesIn(run.at('never')).filter((name) => name !== 'config.yaml')]).toEqual([2, []]);
    expect(differing.stderr).toContain(
      'lora: expected the settings of model.adapter ours/last, got others; set lora.lora_alpha=8.',
    );
    expect(
      await refusal(['model.adapter=ours/last', 'lora.r=3', 'lora.target_modules=[q_proj]']),
    ).toMatchInlineSnapshot(
      `"lora: expected the settings of model.adapter ours/last, got others; set lora.r=4 lora.target_modules=[q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj]."`,
    );
  });
});

describe('the data', () => {
  const rolebench = (folder: string) => ['data.source=rolebench', `data.path=${folder}`, 'data.kinds=[general]'];
  const row = '{"role": "Mara", "question": "Who?", "generated": ["Me."]}\n';

  function writeRows(folder: string, train: string): string[] {
    const path = run.at(folder, 'rolebench-eng', 'instruction-generalization', 'general', 'train.jsonl');
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, train);
    writeFileSync(path.replace('train.jsonl', 'test.jsonl'), row);
    return rolebench(folder);
  }

  it('missing', async () => {
    expect(await refusal(rolebench('nowhere'))).toMatchInlineSnapshot(
      `"nowhere/rolebench-eng/instruction-generalization/general/train.jsonl: expected data rows, got no such file; check the path."`,
    );
    expect(await refusal(['data.path=nowhere'])).toMatchInlineSnapshot(
      `"nowhere: expected a folder of chat rows, or a file of them, got no such file; check the path."`,
    );
    expect(await refusal(['data.eval_split=validation'])).toMatchInlineSnapshot(
      `"rows/validation.jsonl: expected data rows, got no such file; check the path."`,
    );
  });

  it('rows that are not JSON, lack a field or have no answer, all of them at once', async () => {
    const bad = `${row}not json\n{"role": "Mara", "generated": ["x"]}\n{"role": "M", "question": "?", "generated": []}\n`;
    const text = await refusal(writeRows('bad_rows', bad));
    // The engine's own words differ between versions of Node.
    expect(text.replace(/("not json"), [^)]*\)/, '$1, …)')).toMatchInlineSnapshot(`
      "bad_rows/rolebench-eng/instruction-generalization/general/train.jsonl:2: expected a JSON object, got text that is not JSON ("not json", …); fix or remove the row.
      bad_rows/rolebench-eng/instruction-generalization/general/train.jsonl:3: expected "question" as text, got no such field; fix or remove the row.
      bad_rows/rolebench-eng/instruction-generalization/general/train.jsonl:4: expected "generated" as a list of at least one text, got an empty list; fix or remove the row."
    `);
  });

  it('a Git LFS pointer in place of the rows', async () => {
    const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${'0'.repeat(64)}\nsize 12345\n`;
    expect(await refusal(writeRows('pointer', pointer))).toMatchInlineSnapshot(
      `"pointer/rolebench-eng/instruction-generalization/general/train.jsonl: expected data rows, got a Git LFS pointer to a file of 12345 bytes; run \`git lfs pull\` where it was cloned, or download the file itself and put it here."`,
    );
  });

  it('samples that are all too long', async () => {
    expect(await refusal(['data.max_seq_length=8'])).toMatchInlineSnapshot(
      `"data: expected at least one sample in train (train), got none kept (too_long: 24); look at data.path, data.max_seq_length, data.overflow and data.on_bad_row."`,
    );
  });

  it('a prepared shard that was cut off afterwards', async () => {
    expect(await run.train(['output_dir=before'])).toMatchObject({ code: 0 });
    const prepared = run.at('checkpoints', '.prepared');
    const shards = readdirSync(prepared, { recursive: true })
      .map(String)
      .filter((name) => name.endsWith('.arrow'));
    expect(shards.length).toBeGreaterThan(0);
    for (const shard of shards) truncateSync(join(prepared, shard), 100);
    const text = await refusal([]);
    expect(
      text.replace(/\.prepared\/[0-9a-f]+/g, '.prepared/<hash>').replace(/\d+ bytes \(/, 'so many bytes ('),
    ).toMatchInlineSnapshot(
      `"checkpoints/.prepared/<hash>/train-00000.arrow: expected so many bytes (24 samples), got 100 bytes; the prepared data is truncated or damaged: delete checkpoints/.prepared/<hash> and prepare again."`,
    );
    rmSync(prepared, { recursive: true });
  });
});

describe('numbers that are not finite', () => {
  const wild = ['lora.lora_alpha=1e20', 'optimizer.learning_rate=1', 'training.save_steps=1'];

  it('in the loss stop the run with step and samples; the last good checkpoint stays and loads', async () => {
    const args = ['output_dir=wild', 'training.eval_steps=100', ...wild];
    const { code, stdout, stderr } = await run.train(args);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr.slice(stderr.indexOf('\nstep 2: ') + 1)).toMatchInlineSnapshot(`
      "step 2: expected finite numbers, got loss NaN in micro-batch 1 of 2. Parameters and optimizer are as after step 1; the checkpoints in wild are untouched. Samples:
        row 20, Old Tam: 19: sea home home home bread?
        row 2, Old Tam: 1: I home tea?
        row 5, Old Tam: 4: salt lamp?
      train again with a lower optimizer.learning_rate or lora.lora_alpha, or without these rows.
      "
    `);
    expect(namesIn(run.at('wild'))).toEqual(['config.yaml', 'last', 'metrics.jsonl', 'step_000001']);
    const adapter = readFileSync(run.at('wild', 'last', 'adapter_model.safetensors'));
    const resumed = await run.train([...args, '--resume']);
    expect(resumed).toMatchObject({ code: 2, stdout: '' });
    expect(resumed.stderr).toContain('continuing after step 1 of 2');
    expect(resumed.stderr).toContain('step 2: expected finite numbers, got loss NaN in micro-batch 1');
    expect(readFileSync(run.at('wild', 'last', 'adapter_model.safetensors'))).toEqual(adapter);
    const { tensors } = readSafetensorsHeader(run.at('wild', 'last', 'adapter_model.safetensors'));
    for (const { offset, bytes } of tensors.values()) {
      for (let at = offset; at < offset + bytes; at += 4) expect(Number.isFinite(adapter.readFloatLE(at))).toBe(true);
    }
  });

  it('in an evaluation stop the run before such a step is saved', async () => {
    const { code, stdout, stderr } = await run.train(['output_dir=blind', 'training.eval_steps=1', ...wild]);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr.slice(stderr.indexOf('\nstep 1: ') + 1)).toMatchInlineSnapshot(`
      "step 1: expected a finite held-out loss, got NaN. The checkpoints in blind are untouched; train again with a lower optimizer.learning_rate or lora.lora_alpha.
      "
    `);
    expect(namesIn(run.at('blind'))).toEqual(['config.yaml', 'metrics.jsonl']);
  });
});
