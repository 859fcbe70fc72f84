// Parity on tfjs's own CPU backend, which runs where nothing was compiled. Slow, so some of the goldens.
import { expect, vi } from 'vitest';
import { proveParity } from './parity.ts';

vi.stubEnv('ROCIT_BACKEND', 'tfjs');

const names = ['llama_gqa_tied', 'llama_bias', 'llama_head_dim', 'llama_inv_freq_float16'];

proveParity('parity on tfjs', names, [], ({ backend, kernels }) => {
  expect(backend).toBe('tfjs');
  expect(kernels).toEqual([]);
});
