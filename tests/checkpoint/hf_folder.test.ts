// Model folders: whole, sharded, and every way the weights can differ from what the config asks for.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { loadTensors, openHfFolder } from '../../src/checkpoint/hf_folder.ts';
import {
  bytesOf,
  readSafetensorsHeader,
  type TensorToWrite,
  writeSafetensors,
} from '../../src/checkpoint/safetensors.ts';
import { startEngine } from '../../src/engine/runtime.ts';
import { liveTensors, readFloats, scope } from '../../src/engine/tensor.ts';
import { temporaryFolder } from '../support/temporary.ts';
import { userErrorOf } from './user_error.ts';

const top = temporaryFolder();
let count = 0;

beforeAll(async () => {
  await startEngine();
});

function f32(name: string, ...values: number[]): TensorToWrite {
  return { name, dtype: 'F32', shape: [values.length], data: bytesOf(Float32Array.from(values)) };
}

/** A folder with these tensors in one file, or in the shards given. */
function folderOf(tensors: TensorToWrite[] | Record<string, TensorToWrite[]>): string {
  const path = join(top, `m${count++}`);
  mkdirSync(path);
  writeFileSync(join(path, 'config.json'), '{"model_type": "llama"}');
  if (Array.isArray(tensors)) {
    writeSafetensors(join(path, 'model.safetensors'), tensors);
    return path;
  }
  const weight_map: Record<string, string> = {};
  for (const [file, part] of Object.entries(tensors)) {
    writeSafetensors(join(path, file), part);
    for (const { name } of part) weight_map[name] = file;
  }
  writeFileSync(join(path, 'model.safetensors.index.json'), JSON.stringify({ metadata: {}, weight_map }));
  return path;
}

const messageOf = (run: () => unknown) => userErrorOf(run, top).replaceAll(/\/m\d+/g, '/m');

describe('openHfFolder', () => {
  it('reads one file and shards alike', () => {
    const tensors = [f32('a', 1, 2), f32('b', 3)];
    const single = openHfFolder(folderOf(tensors));
    const sharded = openHfFolder(
      folderOf({ 'x-1.safetensors': tensors.slice(0, 1), 'x-2.safetensors': tensors.slice(1) }),
    );
    expect(single.config).toEqual({ model_type: 'llama' });
    for (const { tensors: found, files } of [single, sharded]) {
      expect([...found.keys()]).toEqual(['a', 'b']);
      expect(files.length).toBe(files === single.files ? 1 : 2);
    }
  });

  it('says what is missing: the folder, the config, the weights', () => {
    expect(messageOf(() => openHfFolder(join(top, 'none')))).toMatchInlineSnapshot(
      `"<folder>/none: expected a model folder, got no such folder; check the path or run rocit fetch."`,
    );
    const path = folderOf([f32('a', 1)]);
    rmSync(join(path, 'model.safetensors'));
    writeFileSync(join(path, 'pytorch_model.bin'), '');
    expect(messageOf(() => openHfFolder(path))).toMatchInlineSnapshot(
      `"<folder>/m: expected model.safetensors or model.safetensors.index.json, got pytorch_model.bin; save the model as safetensors."`,
    );
    rmSync(join(path, 'config.json'));
    expect(messageOf(() => openHfFolder(path))).toMatchInlineSnapshot(
      `"<folder>/m/config.json: expected the config of a model, got no such file; check the path."`,
    );
  });

  it('lists all that an index names and the shards lack', () => {
    const path = folderOf({ 'x-1.safetensors': [f32('a', 1)], 'x-2.safetensors': [f32('b', 2)] });
    const index = join(path, 'model.safetensors.index.json');
    const weight_map = { a: 'x-1.safetensors', b: 'x-1.safetensors', c: 'x-2.safetensors' };
    writeFileSync(index, JSON.stringify({ weight_map }));
    expect(messageOf(() => openHfFolder(path))).toMatchInlineSnapshot(
      `"<folder>/m/model.safetensors.index.json: expected an index of the shards beside it, got tensors that their files lack (2): b (in x-1.safetensors), c (in x-2.safetensors); fetch the model again."`,
    );
    writeFileSync(
      index,
      JSON.stringify({ weight_map: { ...weight_map, d: 'x-3.safetensors', e: '../y.safetensors' } }),
    );
    expect(messageOf(() => openHfFolder(path))).toMatchInlineSnapshot(
      `"<folder>/m/model.safetensors.index.json: expected an index of the shards beside it, got files outside the folder (1): ../y.safetensors; files that are missing (1): x-3.safetensors; fetch the model again."`,
    );
  });
});

describe('loadTensors', () => {
  it('brings values of each float dtype to the device, and frees nothing else', () => {
    const path = folderOf([
      f32('a', 1.5, -2),
      { name: 'h', dtype: 'F16', shape: [1, 2], data: Uint8Array.of(0x00, 0x3c, 0x00, 0xc0) },
      { name: 'b', dtype: 'BF16', shape: [1], data: Uint8Array.of(0x40, 0x3f) },
    ]);
    const expected = new Map([
      ['a', [2]],
      ['h', [1, 2]],
      ['b', [1]],
    ]);
    const before = liveTensors();
    scope(() => {
      const loaded = loadTensors(openHfFolder(path), expected, { dtype: 'float32' });
      const values = [...loaded].map(([name, t]) => [name, t.shape, [...readFloats(t)]]);
      expect(values).toEqual([
        ['a', [2], [1.5, -2]],
        ['h', [1, 2], [1, -2]],
        ['b', [1], [0.75]],
      ]);
      expect(liveTensors()).toBe(before + 3);
    });
    expect(liveTensors()).toBe(before);
  });

  it('names all missing, unexpected and mis-shaped tensors at once, but not those to ignore', () => {
    const int = { name: 'int', dtype: 'I64' as const, shape: [1], data: new Uint8Array(8) };
    const path = folderOf([f32('a', 1, 2), f32('extra', 1), f32('layers.0.rotary_emb.inv_freq', 1), int]);
    const expected = new Map([
      ['a', [2, 1]],
      ['gone', [1]],
      ['lost', [1]],
      ['int', [1]],
    ]);
    const ignore = [/rotary_emb\.inv_freq$/];
    expect(
      messageOf(() => loadTensors(openHfFolder(path), expected, { dtype: 'float32', ignore })),
    ).toMatchInlineSnapshot(
      `"<folder>/m: expected the tensors of its config.json, got missing (2): gone, lost; unexpected (1): extra; mis-shaped (2): a [2] for [2, 1], int of I64; check that config and weights belong together."`,
    );
  });

  it('calls quantised weights so, by the config and by their tensors', () => {
    const int8 = { name: 'a.weight', dtype: 'U8' as const, shape: [2], data: new Uint8Array(2) };
    const scales = { ...f32('a.weight_scale', 1), name: 'a.weight_scale' };
    const path = folderOf([int8, scales]);
    const load = () => loadTensors(openHfFolder(path), new Map([['a.weight', [2]]]), { dtype: 'float32' });
    expect(messageOf(load)).toMatchInlineSnapshot(
      `"<folder>/m: expected a base model in float32, float16 or bfloat16, got a quantised one: 2 tensors like a.weight of U8; use the original model, from which it was made."`,
    );
    const settings = [
      [
        { quant_method: 'gptq', bits: 4 },
        /got a quantised one: gptq, 4 bits \(quantization_config\); use the original model/,
      ],
      [{ quant_method: 'bitsandbytes', load_in_4bit: true }, /bitsandbytes, 4 bits/],
      [{ quant_method: 'fp8' }, /got a quantised one: fp8 \(quantization_config\)/],
      [{ quant_method: 'awq', bits: 4 }, /awq, 4 bits/],
    ] as const;
    for (const [quantization_config, pattern] of settings) {
      writeFileSync(join(path, 'config.json'), JSON.stringify({ quantization_config }));
      expect(messageOf(() => openHfFolder(path))).toMatch(pattern);
    }
  });

  it('names the tensor and the file of a weight that is not finite', () => {
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
      const path = folderOf([f32('good', 1), f32('model.norm.weight', 1, 2, bad, 4)]);
      const expected = new Map([
        ['good', [1]],
        ['model.norm.weight', [4]],
      ]);
      const before = liveTensors();
      const text = messageOf(() => loadTensors(openHfFolder(path), expected, { dtype: 'float32' }));
      expect(text).toMatch(/^tensor model\.norm\.weight of <folder>\/m\/model\.safetensors: expected finite values/);
      expect(liveTensors()).toBe(before);
    }
  });

  it('says so when the file was cut after it was opened', () => {
    const path = folderOf([f32('a', 1, 2, 3, 4)]);
    const folder = openHfFolder(path);
    const file = join(path, 'model.safetensors');
    writeFileSync(file, readFileSync(file).subarray(0, -4));
    expect(messageOf(() => loadTensors(folder, new Map([['a', [4]]]), { dtype: 'float32' }))).toMatch(/cut short/);
    expect(messageOf(() => readSafetensorsHeader(file))).toContain('a: offsets 0 to 16 in 12 bytes of data');
  });
});
