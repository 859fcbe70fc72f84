// Which engine runs, and switching the kernels off.
import { createRequire } from 'node:module';
import { expect, it, vi } from 'vitest';
import { hasKernel, startEngine, withoutKernels } from '../../src/engine/runtime.ts';
import { ALL_KERNELS } from '../support/all_kernels.ts';
import { inRepository } from '../support/paths.ts';

it('TensorFlow runs with all kernels, and says what it is', async () => {
  const engine = await startEngine();
  expect(engine).toMatchObject({ backend: 'tensorflow', tensorflow: expect.stringMatching(/^2\.21\./) });
  expect(engine.kernels).toEqual(ALL_KERNELS);
  expect(engine.threads).toBeGreaterThanOrEqual(1);
  expect(await startEngine()).toEqual(engine);
});

it('the addon tells the operations that have a kernel on each device; all or none have one on the GPU', async () => {
  const { kernels, device } = await startEngine();
  const file = process.env.ROCIT_KERNELS_FILE ?? inRepository('build/rocit_kernels.node');
  const addon: unknown = createRequire(import.meta.url)(file);
  expect(addon).toMatchObject({ kernels: { [device]: kernels } });
  expect([[], kernels]).toContainEqual((addon as { kernels: { gpu: string[] } }).kernels.gpu);
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
