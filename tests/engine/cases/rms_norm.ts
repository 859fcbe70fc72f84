// Cases of rms_norm.
import { rmsNorm } from '../../../src/engine/ops/rms_norm.ts';
import * as twin from '../../reference/rms_norm.ts';
import type { OpCase, Values } from '../op_case.ts';

interface Setting {
  N: number;
  C: number;
  residual: boolean;
  scale?: number;
  eps?: number;
  /** Outputs whose gradient is left out. */
  unused?: 'y' | 'sum';
}

function rmsNormCase({ N, C, residual, scale = 1, eps = 1e-5, unused }: Setting): OpCase {
  const input = (values: Values): twin.RmsNormInput => ({
    num_rows: N,
    hidden_size: C,
    x: values.x as Float64Array,
    residual: residual ? (values.residual as Float64Array) : null,
    weight: values.weight as Float64Array,
    eps,
  });
  const extras = `${residual ? ' with residual' : ''}${scale === 1 ? '' : ` of ${scale}`}${unused ? ` without d ${unused}` : ''}`;
  return {
    name: `${N}×${C}${extras}`,
    inputs: {
      x: { shape: [N, C], trainable: true, scale },
      ...(residual && { residual: { shape: [N, C], trainable: true, scale } }),
      weight: { shape: [C], trainable: false },
    },
    run: ({ x, residual, weight }) => ({ ...rmsNorm({ x: x!, residual: residual ?? null, weight: weight!, eps }) }),
    twin(values) {
      const { y, sum } = twin.rmsNorm(input(values));
      return { y, sum };
    },
    twinGradients(values, { y, sum }) {
      const { dx } = twin.rmsNormGrad(input(values), { dy: y!, dsum: sum! });
      return residual ? { x: dx, residual: dx } : { x: dx };
    },
    withoutGradient: unused ? [unused] : [],
    ...(unused === 'y' && { kernelsRun: ['RocitRmsNorm'] }),
  };
}

export const rmsNormCases: OpCase[] = [
  rmsNormCase({ N: 5, C: 123, residual: false }),
  rmsNormCase({ N: 5, C: 123, residual: true }),
  rmsNormCase({ N: 5, C: 64, residual: true, unused: 'sum' }),
  rmsNormCase({ N: 5, C: 64, residual: true, unused: 'y' }),
  rmsNormCase({ N: 1, C: 1, residual: true }),
  rmsNormCase({ N: 1, C: 576, residual: false }),
  rmsNormCase({ N: 0, C: 8, residual: true }),
  rmsNormCase({ N: 0, C: 8, residual: false }),
  rmsNormCase({ N: 77, C: 7, residual: true }),
  rmsNormCase({ N: 3, C: 2049, residual: true }),
  rmsNormCase({ N: 4, C: 31, residual: true, scale: 1e4 }),
  rmsNormCase({ N: 4, C: 31, residual: true, scale: 1e-4 }),
  rmsNormCase({ N: 4, C: 31, residual: false, scale: 0 }),
];
