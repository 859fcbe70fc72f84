// Which engine runs, and switching the kernels off.
import { expect, it, vi } from 'vitest';
import { hasKernel, startEngine, withoutKernels } from '../../src/engine/runtime.ts';

it('TensorFlow runs with all kernels, and says what it is', async () => {
  const engine = await startEngine();
  expect(engine).toMatchObject({ backend: 'tensorflow', tensorflow: expect.stringMatching(/^2\.21\./) });
  expect(engine.kernels).toEqual([
    'RocitAdamw',
    'RocitEmbedding',
    'RocitLinearCrossEntropy',
    'RocitLoraLinear',
    'RocitLoraLinearGrad',
    'RocitReadTensor',
    'RocitRmsNorm',
    'RocitRmsNormGrad',
    'RocitRope',
    'RocitSwiglu',
    'RocitSwigluGrad',
    'RocitTreeAttention',
    'RocitTreeAttentionGrad',
  ]);
  expect(engine.threads).toBeGreaterThanOrEqual(1);
  expect(await startEngine()).toEqual(engine);
});

it('withoutKernels holds inside, also after awaits and errors', async () => {
  await startEngine();
  expect(hasKernel('RocitAdamw')).toBe(true);
  expect(hasKernel('RocitNothing')).toBe(false);
  await withoutKernels(async () => {
    await new Promise((resolve) => setImmediate(resolve));
    expect(hasKernel('RocitAdamw')).toBe(false);
    await withoutKernels(() => {});
    expect(hasKernel('RocitAdamw')).toBe(false);
  });
  await expect(withoutKernels(() => Promise.reject(new Error('inside')))).rejects.toThrow('inside');
  expect(hasKernel('RocitAdamw')).toBe(true);
});

it('ROCIT_KERNELS=off keeps them out of the process', async () => {
  vi.stubEnv('ROCIT_KERNELS', 'off');
  vi.resetModules();
  const fresh = await import('../../src/engine/runtime.ts');
  expect(await fresh.startEngine()).toMatchObject({ backend: 'tensorflow', kernels: [] });
  expect(fresh.hasKernel('RocitAdamw')).toBe(false);
});
