// Adapters on layers: initialisation as PEFT's, targets, names, replacement of parameters.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startEngine } from '../../src/engine/runtime.ts';
import { liveTensors, own, readFloats, release, scope, type Tensor, tensor } from '../../src/engine/tensor.ts';
import { Linear } from '../../src/nn/linear.ts';
import { addLora, loraParameters, loraScaling, replaceLoraParameters, targetPaths } from '../../src/nn/lora.ts';

const settings = { r: 4, lora_alpha: 8, lora_dropout: 0.25, target_modules: 'all-linear', use_rslora: false } as const;
const SHAPES = { 'model.layers.0.self_attn.q_proj': [6, 100], 'model.layers.0.mlp.up_proj': [9, 49], other: [2, 3] };

let linears: Map<string, Linear>;
beforeAll(async () => {
  await startEngine();
});
beforeEach(() => {
  const weight = ([out, width]: number[]) =>
    own(tensor(new Float32Array((out as number) * (width as number)), [out as number, width as number]));
  linears = new Map(Object.entries(SHAPES).map(([path, shape]) => [path, new Linear(path, weight(shape), null)]));
});
afterEach(() => {
  for (const t of loraParameters(linears).values()) release(t);
  for (const { weight } of linears.values()) release(weight);
});
afterAll(() => expect(liveTensors()).toBe(0));

const add = (seed: number, changes = {}) => scope(() => addLora(linears, { ...settings, ...changes }, seed));
const values = () => new Map([...loraParameters(linears)].map(([name, t]) => [name, readFloats(t)]));

describe('fresh adapters', () => {
  it('have A uniform in ±1/sqrt(in) and B zero, float32, trainable', () => {
    add(1, { r: 64 });
    for (const [path, { lora }] of linears) {
      const [out = 0, width = 0] = SHAPES[path as keyof typeof SHAPES];
      expect(lora?.A).toMatchObject({ shape: [64, width], dtype: 'float32', requiresGrad: true });
      expect(lora?.B).toMatchObject({ shape: [out, 64], dtype: 'float32', requiresGrad: true });
      expect(readFloats(lora?.B as Tensor).every((x) => x === 0)).toBe(true);
    }
    const A = readFloats(linears.get('model.layers.0.self_attn.q_proj')?.lora?.A as Tensor);
    const magnitudes = A.map(Math.abs);
    expect(Math.max(...magnitudes)).toBeLessThanOrEqual(0.1);
    expect(Math.max(...magnitudes)).toBeGreaterThan(0.099);
    expect(Math.abs(A.reduce((a, b) => a + b, 0) / A.length)).toBeLessThan(0.003);
    // The variance of a uniform number in ±b is b²/3.
    expect(A.reduce((total, x) => total + x * x, 0) / A.length).toBeCloseTo(0.01 / 3, 4);
  });

  it('are a pure function of seed and path', () => {
    add(1);
    const first = values();
    add(1);
    expect(values()).toEqual(first);
    add(2);
    const name = 'model.layers.0.self_attn.q_proj.lora_A.weight';
    expect(values().get(name)).not.toEqual(first.get(name));
  });

  it('take the place of old ones, which are freed', () => {
    add(1);
    const count = liveTensors();
    const old = [...loraParameters(linears).values()];
    add(2);
    expect(old.every((t) => t.isDisposed)).toBe(true);
    expect(liveTensors()).toBe(count);
  });

  it('carry scaling and dropout', () => {
    add(1, { use_rslora: true, lora_alpha: 3 });
    expect(linears.get('other')?.lora).toMatchObject({ scaling: 1.5, dropout: 0.25 });
  });
});

it('the scaling is lora_alpha / r, or lora_alpha / sqrt(r) for rsLoRA', () => {
  expect(loraScaling({ ...settings, r: 16, lora_alpha: 32 })).toBe(2);
  expect(loraScaling({ ...settings, r: 16, lora_alpha: 32, use_rslora: true })).toBe(8);
});

describe('targets', () => {
  it.each([
    ['all-linear', [...Object.keys(SHAPES)]],
    [
      ['q_proj', 'other'],
      ['model.layers.0.self_attn.q_proj', 'other'],
    ],
    [['mlp.up_proj'], ['model.layers.0.mlp.up_proj']],
    [['other', 'other'], ['other']],
  ] as const)('%s', (target_modules, expected) => {
    expect(targetPaths(linears, target_modules)).toEqual(expected);
  });

  it('match whole names only', () => {
    const partial = () => targetPaths(linears, ['proj', 'lm_head', 'q_proj']);
    expect(partial).toThrowErrorMatchingInlineSnapshot(
      `[UserError: lora.target_modules: expected names of linear layers (q_proj, up_proj, other), got proj, lm_head; the output head and embeddings cannot carry an adapter.]`,
    );
  });
});

describe('parameters', () => {
  it("have PEFT's names in a fixed order", () => {
    add(1, { target_modules: ['q_proj', 'other'] });
    expect([...loraParameters(linears).keys()]).toEqual([
      'model.layers.0.self_attn.q_proj.lora_A.weight',
      'model.layers.0.self_attn.q_proj.lora_B.weight',
      'other.lora_A.weight',
      'other.lora_B.weight',
    ]);
  });

  it('are replaced in that order, and the old ones freed', () => {
    add(1);
    const before = [...loraParameters(linears).values()];
    const count = liveTensors();
    scope(() =>
      replaceLoraParameters(
        linears,
        before.map(({ shape, size }, i) => tensor(new Float32Array(size).fill(i), shape)),
      ),
    );
    expect(before.every((t) => t.isDisposed)).toBe(true);
    expect(liveTensors()).toBe(count);
    [...loraParameters(linears).values()].forEach((t, i) => {
      expect(t.requiresGrad).toBe(true);
      expect(new Set(readFloats(t))).toEqual(new Set([i]));
    });
  });
});
