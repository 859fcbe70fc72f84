// Models and adapters from folders: what is read, what is refused and how the errors read.
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readSafetensorsHeader, type TensorInfo, writeSafetensors } from '../../src/checkpoint/safetensors.ts';
import { UserError } from '../../src/core/errors.ts';
import { startEngine } from '../../src/engine/runtime.ts';
import { liveTensors, readFloats, release, scope } from '../../src/engine/tensor.ts';
import { parseConfig, tensorShapes } from '../../src/models/llama.ts';
import { loadAdapterInto, loadModel, resolveBase } from '../../src/models/load.ts';
import { loraParameters } from '../../src/nn/lora.ts';
import { temporaryFolder } from '../support/temporary.ts';
import { openGolden, withModel } from './golden.ts';

const golden = openGolden('llama_gqa_tied');
const folder = temporaryFolder();
beforeAll(async () => {
  await startEngine();
});
afterAll(() => expect(liveTensors()).toBe(0));

const config = JSON.parse(readFileSync(join(golden.model, 'config.json'), 'utf8')) as Record<string, unknown>;

/** A copy of the golden's model with other keys in config.json (undefined removes one). */
function modelWith(name: string, changes: Record<string, unknown>): string {
  const path = join(folder, name);
  cpSync(golden.model, path, { recursive: true });
  writeFileSync(join(path, 'config.json'), JSON.stringify({ ...config, ...changes }));
  return path;
}

function bytesIn({ path, offset, bytes }: TensorInfo): Uint8Array {
  return Uint8Array.from(readFileSync(path).subarray(offset, offset + bytes));
}

function refusal(fn: () => unknown): string {
  const before = liveTensors();
  try {
    fn();
  } catch (error) {
    expect(error).toBeInstanceOf(UserError);
    expect(liveTensors()).toBe(before);
    return (error as Error).message.replaceAll(folder, '<folder>').replaceAll(golden.adapter, '<adapter>');
  }
  throw new Error('nothing was thrown');
}

describe('config.json', () => {
  it('of transformers 4 and 5 say the same', () => {
    const llama3 = {
      rope_type: 'llama3',
      factor: 8,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 64,
    };
    const { rope_parameters: _, ...bare } = config;
    const five = parseConfig({ ...bare, rope_parameters: { ...llama3, rope_theta: 500_000 } }, 'five').rope;
    expect(parseConfig({ ...bare, rope_theta: 500_000, rope_scaling: llama3 }, 'four').rope).toEqual(five);
    const { rope_type: type, ...old } = llama3;
    expect(parseConfig({ ...bare, rope_theta: 500_000, rope_scaling: { ...old, type } }, 'older').rope).toMatchObject({
      ...five,
    });
    const plain = { rope_type: 'default', rope_theta: 10_000 };
    expect(parseConfig(bare, 'plain').rope).toEqual(plain);
    expect(parseConfig({ ...bare, rope_scaling: null }, 'plain').rope).toEqual(plain);
  });

  it('of LLaMA-1 leaves out what has one value', () => {
    const { num_key_value_heads, head_dim, attention_bias, mlp_bias, rope_parameters, ...old } = config;
    const parsed = parseConfig(old, 'old');
    expect(parsed).toMatchObject({ num_key_value_heads: 4, head_dim: 8, attention_bias: false, mlp_bias: false });
    expect(tensorShapes(parsed).get('model.layers.0.self_attn.k_proj.weight')).toEqual([32, 32]);
  });

  it.each<[string, Record<string, unknown>]>([
    ['another family', { model_type: 'gpt2' }],
    ['several wrong keys', { hidden_size: 'large', num_hidden_layers: 0, vocab_size: undefined }],
    ['another activation', { hidden_act: 'gelu' }],
    ['heads that do not divide', { num_key_value_heads: 3 }],
    ['a width that heads do not divide', { head_dim: undefined, num_attention_heads: 6, num_key_value_heads: 2 }],
    ['an unknown rope', { rope_parameters: { rope_type: 'yarn', rope_theta: 1e4, factor: 2 } }],
    ['a head of odd size', { head_dim: 7 }],
  ])('with %s is refused', (name, changes) => {
    const path = modelWith(name.replaceAll(' ', '_'), changes);
    expect(refusal(() => loadModel(path, { dtype: 'float32' }))).toMatchSnapshot();
  });
});

describe('weights', () => {
  it('that miss, surplus or have other shapes are all in one error', () => {
    const path = modelWith('mixed', { intermediate_size: 55, num_hidden_layers: 3, attention_bias: true });
    const text = refusal(() => loadModel(path, { dtype: 'float32' }));
    expect(text).toContain('missing (21): ');
    expect(text).toContain('model.layers.2.mlp.down_proj.weight');
    expect(text).toContain('model.layers.1.mlp.up_proj.weight [56, 32] for [55, 32]');
    const fewer = modelWith('fewer', { num_hidden_layers: 1 });
    expect(refusal(() => loadModel(fewer, { dtype: 'float32' }))).toContain('unexpected (9): model.layers.1.');
  });

  it('of a head beside a tied one are left out', async () => {
    const path = modelWith('tied_with_head', {});
    const { tensors } = readSafetensorsHeader(join(path, 'model.safetensors'));
    const copies = [...tensors.values()].map((info) => ({ ...info, data: bytesIn(info) }));
    const embed = copies.find(({ name }) => name === 'model.embed_tokens.weight') as (typeof copies)[number];
    writeSafetensors(join(path, 'model.safetensors'), [...copies, { ...embed, name: 'lm_head.weight' }]);
    const model = loadModel(path, { dtype: 'float32' });
    expect(model.weights.length).toBe(copies.length);
    model.weights.forEach(release);
  });

  it('outlive the scope they were loaded in', () => {
    const model = scope(() => loadModel(golden.model, { dtype: 'float32' }));
    expect(model.weights.every((t) => !t.isDisposed && readFloats(t).length === t.size)).toBe(true);
    model.weights.forEach(release);
  });

  it('of a folder that is not there are refused', () => {
    expect(refusal(() => loadModel(join(folder, 'nowhere'), { dtype: 'float32' }))).toMatchSnapshot();
    expect(refusal(() => resolveBase(join(folder, 'nowhere')))).toMatchSnapshot();
  });
});

describe('adapters', () => {
  it('come with their settings; dropout may be another', async () => {
    await withModel(golden, { adapter: false }, async (model) => {
      const settings = scope(() => loadAdapterInto(model, golden.adapter, 0.25));
      expect(settings).toMatchObject({ r: golden.json.settings.r, lora_dropout: 0.25, use_rslora: false });
      expect(loraParameters(model.linears).size).toBe(2 * 14);
    });
  });

  it('of another base are refused', async () => {
    const other = openGolden('llama_head_dim');
    await withModel(other, { adapter: false }, async (model) => {
      const text = refusal(() => loadAdapterInto(model, golden.adapter));
      expect(text).toMatch(
        /^<adapter>: expected an adapter of this base model, got one of tests\/goldens\/llama_gqa_tied/,
      );
      expect(loraParameters(model.linears).size).toBe(0);
    });
  });

  it('without files are refused', async () => {
    const empty = join(folder, 'empty_adapter');
    cpSync(golden.adapter, empty, { recursive: true });
    rmSync(join(empty, 'adapter_config.json'));
    await withModel(golden, { adapter: false }, async (model) => {
      expect(refusal(() => loadAdapterInto(model, empty))).toMatchSnapshot();
    });
  });
});
