import { mkdirSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { configSchema } from '../../src/config/schema.ts';
import { checkIdentity, fingerprintModel, type Identity } from '../../src/training/identity.ts';
import { userErrorOf } from '../checkpoint/user_error.ts';
import { temporaryFolder } from '../support/temporary.ts';
import { writeTinyModel } from '../support/tiny_model.ts';

const folder = temporaryFolder();

function identity(changes: object = {}, inputs: Identity['inputs'] = {}, threads = 2): Identity {
  return {
    settings: configSchema.parse(changes),
    inputs: { base: 'a', adapter: null, ...inputs },
    engine: {
      ...{ backend: 'tensorflow', device: 'cpu', tensorflow: '2.21.0', kernels: ['RocitAdamw'], cpuFeatures: ['avx2'] },
      threads,
      kernelsBuild: 'abc',
    },
  };
}

describe('checkIdentity', () => {
  it('lists every change of settings and inputs in one error', () => {
    const changed = identity(
      { lora: { r: 8, target_modules: ['q_proj'] }, optimizer: { learning_rate: 1e-3 }, training: { max_steps: 5 } },
      { base: 'b', adapter: 'c' },
    );
    expect(userErrorOf(() => checkIdentity('run', identity(), changed), folder)).toMatchInlineSnapshot(`
      "run: expected the settings and inputs this run began with, got changes:
        lora.r: 16 → 8
        lora.target_modules: "all-linear" → ["q_proj"]
        optimizer.learning_rate: 0.0002 → 0.001
        training.max_steps: null → 5
        base: "a" → "b"
        adapter: null → "c"
      undo them, or train into another output_dir."
    `);
  });

  it('allows what decides where and when a run is saved', () => {
    const moved = { data: { path: 'elsewhere' }, model: { base: 'moved' }, output_dir: 'other' };
    const saved = { training: { save_steps: 7, save_minutes: 1, save_total_limit: 9 } };
    checkIdentity('run', identity(), identity({ ...moved, ...saved }));
  });

  it('only warns where the machine changed', () => {
    checkIdentity('run', identity(), identity({}, {}, 4));
  });
});

describe('fingerprintModel', () => {
  it('is equal for a copy in another folder, and changes with weights and config', () => {
    const [first = '', second = ''] = ['a', 'b'].map((name) => {
      mkdirSync(join(folder, name));
      return writeTinyModel(join(folder, name));
    });
    const before = fingerprintModel(first);
    expect(fingerprintModel(second)).toBe(before);
    const config = readFileSync(join(second, 'config.json'), 'utf8');
    writeFileSync(join(second, 'config.json'), config.replace('10000', '10001'));
    expect(fingerprintModel(second)).not.toBe(before);
    writeFileSync(join(second, 'config.json'), config);
    expect(fingerprintModel(second)).toBe(before);
    const weights = openSync(join(second, 'model.safetensors'), 'r+');
    writeSync(weights, Buffer.from([1]), 0, 1, readFileSync(join(second, 'model.safetensors')).length - 1);
    expect(fingerprintModel(second)).not.toBe(before);
  });
});
