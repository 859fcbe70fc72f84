// Parity with the kernels that are registered: all of them run.
import { expect } from 'vitest';
import { ALL_KERNELS } from '../support/all_kernels.ts';
import { floatGoldens, proveParity } from './parity.ts';

proveParity('parity with kernels', floatGoldens(), ALL_KERNELS, ({ backend, kernels }) => {
  expect(backend).toBe('tensorflow');
  expect(kernels).toEqual(ALL_KERNELS);
});
