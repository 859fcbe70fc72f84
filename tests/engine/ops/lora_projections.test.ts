// The operations that make the input of lora_linear first, against the float64 twins, and bit for bit against the two
// operations that they stand for.
import { describe, expect, it } from 'vitest';
import {
  type ProjectedCase,
  rmsNormLoraLinearCases,
  swigluLoraLinearCases,
  treeAttentionLoraLinearCases,
} from '../cases/lora_projections.ts';
import { runCase } from '../op_case.ts';
import { proveOp } from '../proof.ts';

describe.each<[string, string, readonly ProjectedCase[]]>([
  ['rms_norm_lora_linear', 'RocitRmsNormLoraLinear', rmsNormLoraLinearCases],
  ['swiglu_lora_linear', 'RocitSwigluLoraLinear', swigluLoraLinearCases],
  ['tree_attention_lora_linear', 'RocitTreeAttentionLoraLinear', treeAttentionLoraLinearCases],
])('%s', (name, kernel, cases) => {
  proveOp(name, cases, { kernels: [kernel, `${kernel}Grad`] });

  it.each(cases.flatMap((op) => (['float32', 'bfloat16'] as const).map((dtype) => [op.name, dtype, op] as const)))(
    '%s has the bits of two operations in %s',
    async (_, dtype, op) => {
      const together = await runCase(op, dtype);
      const apart = await runCase({ ...op, run: op.runApart }, dtype);
      expect(apart.kernels).not.toContain(kernel);
      expect([together.outputs, together.gradients]).toEqual([apart.outputs, apart.gradients]);
    },
  );
});
