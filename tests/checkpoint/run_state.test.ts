// The state of a run comes back bit for bit; a disk that is full loses nothing old.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import { loadRunState, readRunState, saveRunState } from '../../src/checkpoint/run_state.ts';
import { startEngine } from '../../src/engine/runtime.ts';
import { readFloats, tensor } from '../../src/engine/tensor.ts';
import { inRepository } from '../support/paths.ts';
import { temporaryFolder } from '../support/temporary.ts';
import { userErrorOf } from './user_error.ts';

const top = temporaryFolder();

describe('run state', () => {
  beforeAll(async () => {
    await startEngine();
  });

  it('comes back bit for bit, in the same order', () => {
    const values = Float32Array.of(0, -0, 1e-45, 3.4e38, -1 / 3, 1e-38);
    const tensors = new Map([
      ['v.b', tensor(values, [2, 3])],
      ['m.a', tensor(Float32Array.of(7), [1])],
    ]);
    const state = { step: 12, rng: [1, 2], text: '皇帝', nothing: null, learning_rate: 0.1 + 0.2 };
    saveRunState(top, { state, tensors });
    const loaded = loadRunState(top);
    expect(loaded.state).toEqual(state);
    expect([...loaded.tensors.keys()]).toEqual(['v.b', 'm.a']);
    const t = loaded.tensors.get('v.b');
    expect(t?.shape).toEqual([2, 3]);
    if (t) expect(Buffer.from(readFloats(t).buffer).equals(Buffer.from(values.buffer))).toBe(true);
  });

  it('says which file is damaged', () => {
    writeFileSync(join(top, 'run_state.json'), '{"step": ');
    expect(userErrorOf(() => readRunState(top), top)).toMatch(
      /^<folder>\/run_state\.json: expected the state of a run as JSON/,
    );
    writeFileSync(join(top, 'run_state.json'), '[]');
    expect(userErrorOf(() => readRunState(top), top)).toMatchInlineSnapshot(
      `"<folder>/run_state.json: expected an object, got other JSON; restore it."`,
    );
  });
});

describe('a full disk', () => {
  it('ends a save with one line and leaves the older checkpoint and nothing else', () => {
    const run = join(top, 'run');
    mkdirSync(join(run, 'step_000001'), { recursive: true });
    writeFileSync(join(run, 'step_000001', 'adapter_model.safetensors'), 'old');
    const module = (name: string) => JSON.stringify(pathToFileURL(inRepository('dist', name)).href);
    const script = `
      import { writeSafetensors } from ${module('checkpoint/safetensors.js')};
      import { writeFolderAtomic } from ${module('core/files.js')};
      const data = new Uint8Array(1 << 20);
      const tensors = [{ name: 'a', dtype: 'U8', shape: [data.length], data }];
      try {
        await writeFolderAtomic(process.argv[1] + '/step_000002', async (folder) =>
          writeSafetensors(folder + '/adapter_model.safetensors', tensors));
        console.log('saved');
      } catch (error) {
        console.log(error.name + ' ' + error.message);
      }`;
    const save = (limit: string) => {
      const command = `trap '' XFSZ; ulimit -f ${limit}; exec "$0" "$@"`;
      const args = ['-c', command, process.execPath, '--input-type=module', '-e', script, run];
      return spawnSync('bash', args, { encoding: 'utf8' }).stdout;
    };
    expect(save('64')).toMatch(
      /^UserError .*adapter_model\.safetensors.*: expected room to write, got EFBIG: file too large, write; free some disk space/,
    );
    expect(readdirSync(run)).toEqual(['step_000001']);
    expect(readFileSync(join(run, 'step_000001', 'adapter_model.safetensors'), 'utf8')).toBe('old');
    expect(save('unlimited')).toBe('saved\n');
    expect(readdirSync(run)).toEqual(['step_000001', 'step_000002']);
  });
});
