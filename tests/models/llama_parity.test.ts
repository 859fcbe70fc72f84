// Parity with the kernels that are registered: all of them run, some inside of others.
import { expect } from 'vitest';
import { ALL_KERNELS } from '../support/all_kernels.ts';
import { floatGoldens, proveParity } from './parity.ts';

const INSIDE = ['RocitLoraLinear', 'RocitSwiglu', 'RocitTreeAttention'];
const OUTSIDE = ALL_KERNELS.filter((name) => !INSIDE.includes(name.replace(/Grad$/, '')));

proveParity('parity with kernels', floatGoldens(), OUTSIDE, ({ backend, kernels }) => {
  expect(backend).toBe('tensorflow');
  expect(kernels).toEqual(ALL_KERNELS);
});
