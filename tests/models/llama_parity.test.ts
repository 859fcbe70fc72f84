// Parity with the kernels that are registered: all of them run.
import { expect } from 'vitest';
import { floatGoldens, proveParity } from './parity.ts';

const KERNELS = [
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
];

proveParity('parity with kernels', floatGoldens(), KERNELS, ({ backend, kernels }) => {
  expect(backend).toBe('tensorflow');
  expect(kernels).toEqual(KERNELS);
});
