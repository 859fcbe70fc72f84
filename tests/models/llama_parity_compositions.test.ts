// Parity with ROCIT_KERNELS=off: compositions of TensorFlow's own operations.
import { expect, vi } from 'vitest';
import { floatGoldens, proveParity } from './parity.ts';

vi.stubEnv('ROCIT_KERNELS', 'off');

proveParity('parity of compositions', floatGoldens(), [], ({ backend, kernels }) => {
  expect(backend).toBe('tensorflow');
  expect(kernels).toEqual([]);
});
