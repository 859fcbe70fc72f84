// Cases of swiglu.
import { swiglu } from '../../../src/engine/ops/swiglu.ts';
import * as twin from '../../reference/swiglu.ts';
import type { OpCase, Values } from '../op_case.ts';

function swigluCase(N: number, F: number, scale = 1): OpCase {
  const input = ({ gate, up }: Values) => ({ gate: gate as Float64Array, up: up as Float64Array });
  return {
    name: `${N}×${F}${scale === 1 ? '' : ` of ${scale}`}`,
    inputs: { gate: { shape: [N, F], trainable: true, scale }, up: { shape: [N, F], trainable: true } },
    run: ({ gate, up }) => ({ y: swiglu({ gate: gate!, up: up! }) }),
    twin: (values) => ({ y: twin.swiglu(input(values)) }),
    twinGradients(values, { y }) {
      const { dgate, dup } = twin.swigluGrad(input(values), y as Float64Array);
      return { gate: dgate, up: dup };
    },
  };
}

export const swigluCases: OpCase[] = [
  swigluCase(5, 123),
  swigluCase(1, 1),
  swigluCase(1, 1536),
  swigluCase(0, 8),
  swigluCase(65, 3),
  // σ is 0 or 1 at the ends, and exp(100) is beyond float32.
  swigluCase(4, 33, 100),
];
