import { describe, expect, it } from 'vitest';
import { rocit } from '../support/cli.ts';

const KEYS = [
  'node',
  'python',
  'pip',
  'cxx',
  'cmake',
  'backend',
  'device',
  'tensorflow',
  'kernels',
  'tokenizer',
  'engine_error',
  'cpu',
  'cores',
  'threads',
  'cpu_features',
  'memory_gib',
  'memory_free_gib',
  'disk_free_gib',
  'gpu',
  'nvcc',
];

async function doctorJson(env: Record<string, string> = {}): Promise<Record<string, unknown>> {
  const { code, stdout } = await rocit(['doctor', '--json'], { env });
  expect(code).toBe(0);
  return JSON.parse(stdout) as Record<string, unknown>;
}

describe('rocit doctor', () => {
  it('--json prints one object with the promised keys', async () => {
    const found = await doctorJson();
    expect(Object.keys(found)).toEqual(KEYS);
    expect(found.node).toBe(process.version);
    expect(found.engine_error).toBeNull();
    expect(found.tokenizer).toMatch(/^tokenizers \d+\.\d+\.\d+$/);
    expect(found.memory_gib).toBeGreaterThan(0);
  });

  it('names the engine that really runs: tfjs where it is forced, and no kernels then', async () => {
    const found = await doctorJson({ ROCIT_BACKEND: 'tfjs' });
    expect(found).toMatchObject({ backend: 'tfjs', tensorflow: null, kernels: [], device: 'cpu', threads: 1 });
  });

  it('prints one line a finding for people', async () => {
    const { code, stdout } = await rocit(['doctor']);
    expect(code).toBe(0);
    const names = stdout
      .trimEnd()
      .split('\n')
      .map((line) => line.split(/\s{2,}|\s/)[0]);
    expect(names).toMatchInlineSnapshot(`
      [
        "node",
        "python",
        "pip",
        "g++",
        "cmake",
        "engine",
        "tensorflow",
        "kernels",
        "tokens",
        "processor",
        "features",
        "memory",
        "disk",
        "gpu",
        "nvcc",
      ]
    `);
  });

  it('works with no tool in reach', async () => {
    const found = await doctorJson({ PATH: '/nowhere' });
    expect(found).toMatchObject({ python: null, pip: null, cxx: null, cmake: null, gpu: null, nvcc: null });
  });
});
