// Parity with the kernels that are registered.
import { expect } from 'vitest';
import { floatGoldens, proveParity } from './parity.ts';

proveParity('parity with kernels', floatGoldens(), ({ backend, kernels }) => {
  expect(backend).toBe('tensorflow');
  expect(kernels).toEqual(
    expect.arrayContaining(['RocitAdamw', 'RocitReadTensor', 'RocitRmsNorm', 'RocitRmsNormGrad']),
  );
});
