// Every composition on tfjs's own CPU backend, from the same cases as on TensorFlow.
import { describe, expect, it, vi } from 'vitest';
import { startEngine } from '../../src/engine/runtime.ts';
import { read, scope, tensor } from '../../src/engine/tensor.ts';
import { embeddingCases } from './cases/embedding.ts';
import { linearCrossEntropyCases } from './cases/linear_cross_entropy.ts';
import { loraLinearCases } from './cases/lora_linear.ts';
import { rmsNormCases } from './cases/rms_norm.ts';
import { ropeCases } from './cases/rope.ts';
import { swigluCases } from './cases/swiglu.ts';
import { treeAttentionCases } from './cases/tree_attention.ts';
import { proveOnTfjs } from './proof.ts';

vi.stubEnv('ROCIT_BACKEND', 'tfjs');
const said = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
const engine = await startEngine();
await startEngine();
const lines = said.mock.calls.map(([text]) => String(text));
said.mockRestore();

describe('the backend without compiled libraries', () => {
  it('is the one in use, and says so in one line', () => {
    expect(engine).toMatchObject({ backend: 'tfjs', device: 'cpu', kernels: [], tensorflow: null, threads: 1 });
    expect(lines).toEqual([
      "Running on tfjs's CPU backend (ROCIT_BACKEND=tfjs): float32 only, slow, meant for tiny models; `npm run build` builds the fast one.\n",
    ]);
  });

  it('refuses bfloat16', () => {
    scope(() => {
      const values = Float32Array.of(1);
      expect(() => tensor(values, [1], 'bfloat16')).toThrow('bfloat16 is not available on the tfjs CPU backend');
    });
  });

  it('keeps tensors apart from the arrays they came from', () => {
    scope(() => {
      for (const values of [Float32Array.of(1, 2), Int32Array.of(1, 2), Uint8Array.of(1, 2)]) {
        const t = tensor(values, [2]);
        const before = values.slice();
        values.fill(9);
        expect(read(t)).toEqual(before);
        read(t).fill(9);
        expect(read(t)).toEqual(before);
      }
    });
  });

  proveOnTfjs('rms_norm', rmsNormCases);
  proveOnTfjs('lora_linear', loraLinearCases);
  proveOnTfjs('rope', ropeCases);
  proveOnTfjs('tree_attention', treeAttentionCases);
  proveOnTfjs('swiglu', swigluCases);
  proveOnTfjs('linear_cross_entropy', linearCrossEntropyCases);
  proveOnTfjs('embedding', embeddingCases);
});
