// PEFT folders: written, read back, and refused with all reasons at once.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { type LoraPair, loadAdapter, loadAdapterTensors, saveAdapter } from '../../src/checkpoint/adapter.ts';
import { readSafetensorsHeader } from '../../src/checkpoint/safetensors.ts';
import { readJsonFile } from '../../src/core/files.ts';
import { startEngine } from '../../src/engine/runtime.ts';
import { readFloats, type Tensor, tensor } from '../../src/engine/tensor.ts';
import { temporaryFolder } from '../support/temporary.ts';
import { userErrorOf } from './user_error.ts';

const top = temporaryFolder();
const config = { r: 2, lora_alpha: 4, lora_dropout: 0.1, target_modules: ['q_proj', 'down_proj'], use_rslora: true };
const linears = new Map<string, readonly [number, number]>([
  ['model.layers.0.self_attn.q_proj', [4, 3]],
  ['model.layers.0.self_attn.k_proj', [2, 3]],
  ['model.layers.0.mlp.down_proj', [3, 5]],
]);
let count = 0;

beforeAll(async () => {
  await startEngine();
});

function pair(out: number, input: number, start: number): LoraPair<Tensor> {
  const ramp = (length: number) => Float32Array.from({ length }, (_, i) => start + i / 8);
  return { A: tensor(ramp(2 * input), [2, input]), B: tensor(ramp(2 * out), [out, 2]) };
}

function newFolder(): string {
  const folder = join(top, `a${count++}`);
  mkdirSync(folder);
  return folder;
}

function saved(): string {
  const folder = newFolder();
  const weights = new Map([
    ['model.layers.0.self_attn.q_proj', pair(4, 3, 1)],
    ['model.layers.0.mlp.down_proj', pair(3, 5, 2)],
  ]);
  saveAdapter(folder, { weights, config, base_model_name_or_path: 'base/folder' });
  return folder;
}

/** A saved adapter with some keys of its config changed. */
function changed(keys: Record<string, unknown>): string {
  const folder = saved();
  const path = join(folder, 'adapter_config.json');
  writeFileSync(path, JSON.stringify({ ...(readJsonFile(path, 'config') as object), ...keys }));
  return folder;
}

const messageOf = (run: () => unknown) => userErrorOf(run, top).replaceAll(/\/a\d+/g, '/a');

describe('saveAdapter', () => {
  it("writes PEFT's names and keys, and the same bytes each time", () => {
    const [folder, again] = [saved(), saved()];
    const { tensors, metadata } = readSafetensorsHeader(join(folder, 'adapter_model.safetensors'));
    expect([...tensors.values()].map(({ name, dtype, shape }) => [name, dtype, shape])).toEqual([
      ['base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight', 'F32', [2, 3]],
      ['base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight', 'F32', [4, 2]],
      ['base_model.model.model.layers.0.mlp.down_proj.lora_A.weight', 'F32', [2, 5]],
      ['base_model.model.model.layers.0.mlp.down_proj.lora_B.weight', 'F32', [3, 2]],
    ]);
    expect(metadata).toEqual({ format: 'pt' });
    expect(readJsonFile(join(folder, 'adapter_config.json'), 'config')).toMatchObject({
      peft_type: 'LORA',
      task_type: 'CAUSAL_LM',
      base_model_name_or_path: 'base/folder',
      r: 2,
      lora_alpha: 4,
      lora_dropout: 0.1,
      use_rslora: true,
      target_modules: ['down_proj', 'q_proj'],
      bias: 'none',
      inference_mode: true,
      fan_in_fan_out: false,
    });
    for (const name of ['adapter_model.safetensors', 'adapter_config.json']) {
      expect(readFileSync(join(folder, name)).equals(readFileSync(join(again, name)))).toBe(true);
    }
  });
});

describe('loadAdapter', () => {
  it('gives back what was saved', () => {
    const adapter = loadAdapter(saved());
    expect(adapter.config).toEqual({
      ...config,
      target_modules: ['down_proj', 'q_proj'],
      base_model_name_or_path: 'base/folder',
    });
    const weights = loadAdapterTensors(adapter, linears);
    expect([...weights.keys()]).toEqual(['model.layers.0.self_attn.q_proj', 'model.layers.0.mlp.down_proj']);
    const { B } = weights.get('model.layers.0.mlp.down_proj') as LoraPair<Tensor>;
    expect([B.shape, [...readFloats(B)]]).toEqual([
      [3, 2],
      [2, 2.125, 2.25, 2.375, 2.5, 2.625],
    ]);
  });

  it('takes the modules that have tensors where the config has a rule instead of names', () => {
    for (const keys of [{ target_modules: 'all-linear' }, { layers_to_transform: [0] }]) {
      expect(loadAdapter(changed(keys)).config.target_modules).toEqual([
        'model.layers.0.self_attn.q_proj',
        'model.layers.0.mlp.down_proj',
      ]);
    }
  });

  it('reads configs with few keys, as older versions of PEFT write them', () => {
    const folder = saved();
    const keys = { peft_type: 'LORA', r: 2, lora_alpha: 4, target_modules: ['q_proj', 'down_proj'] };
    writeFileSync(join(folder, 'adapter_config.json'), JSON.stringify(keys));
    expect(loadAdapter(folder).config).toEqual({
      r: 2,
      lora_alpha: 4,
      lora_dropout: 0,
      use_rslora: false,
      target_modules: ['q_proj', 'down_proj'],
      base_model_name_or_path: null,
    });
  });

  it('refuses, all at once, what it cannot compute', () => {
    const folder = changed({
      use_dora: true,
      rank_pattern: { q_proj: 4 },
      alpha_pattern: { q_proj: 8 },
      modules_to_save: ['lm_head'],
      bias: 'all',
      init_lora_weights: 'pissa',
      peft_type: 'IA3',
      r: 0,
      target_modules: null,
    });
    expect(messageOf(() => loadAdapter(folder))).toMatchInlineSnapshot(
      `"<folder>/a/adapter_config.json: expected a plain LoRA of a causal language model, got peft_type: "IA3", bias: "all", init_lora_weights: "pissa", alpha_pattern: {"q_proj":8}, modules_to_save: ["lm_head"], rank_pattern: {"q_proj":4}, use_dora: true, r: 0, target_modules: null; rocit cannot use this adapter."`,
    );
  });

  it('refuses folders that are no adapter, pickles, and tensors that do not fit the rank', () => {
    expect(messageOf(() => loadAdapter(newFolder()))).toMatchInlineSnapshot(
      `"<folder>/a: expected a PEFT adapter, got a folder without adapter_config.json; check the path."`,
    );
    const pickled = saved();
    rmSync(join(pickled, 'adapter_model.safetensors'));
    writeFileSync(join(pickled, 'adapter_model.bin'), '');
    expect(messageOf(() => loadAdapter(pickled))).toMatchInlineSnapshot(
      `"<folder>/a: expected adapter_model.safetensors, got adapter_model.bin; save the adapter as safetensors."`,
    );
    expect(messageOf(() => loadAdapter(changed({ r: 3 })))).toMatchInlineSnapshot(
      `"<folder>/a/adapter_model.safetensors: expected lora_A [3, in] and lora_B [out, 3] for each module, got model.layers.0.self_attn.q_proj with A [2, 3] and B [4, 2]; model.layers.0.mlp.down_proj with A [2, 5] and B [3, 2]; use a plain LoRA adapter."`,
    );
  });
});

describe('an adapter of another base', () => {
  it('is one error with every name and shape that differs', () => {
    const other = new Map<string, readonly [number, number]>([
      ['model.layers.0.self_attn.q_proj', [8, 6]],
      ['model.layers.1.self_attn.q_proj', [4, 3]],
      ['model.layers.0.self_attn.k_proj', [2, 3]],
    ]);
    expect(messageOf(() => loadAdapterTensors(loadAdapter(saved()), other))).toMatchInlineSnapshot(
      `"<folder>/a: expected an adapter of this base model, got one of base/folder: missing (2): model.layers.1.self_attn.q_proj.lora_A, model.layers.1.self_attn.q_proj.lora_B; unexpected (2): model.layers.0.mlp.down_proj.lora_A, model.layers.0.mlp.down_proj.lora_B; mis-shaped (2): model.layers.0.self_attn.q_proj.lora_A [2, 3] for [2, 6], model.layers.0.self_attn.q_proj.lora_B [4, 2] for [8, 2]; choose the base it was trained on."`,
    );
  });
});
