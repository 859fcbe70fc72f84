// Cases of lora_linear.
import { loraLinear } from '../../../src/engine/ops/lora_linear.ts';
import type { Projection } from '../../../src/engine/ops/lora_projections.ts';
import { readFloats, scope, type Tensor, tensor } from '../../../src/engine/tensor.ts';
import * as twin from '../../reference/lora_linear.ts';
import type { OpCase, Values } from '../op_case.ts';

export interface Part {
  out: number;
  r?: number;
  bias?: boolean;
  scaling?: number;
  dropout?: number;
}

interface Setting {
  name: string;
  N: number;
  width: number;
  parts: readonly Part[];
  /** Whether x is the output of something that needs gradients. */
  trainsInput?: boolean;
}

/** The dropout mask of a seed, out of the operation itself: W = 0, A = B = identity and x = 1 give scaling · mask. */
export function recoverMask(N: number, width: number, dropout: number, seed: number): Float64Array {
  return scope(() => {
    const identity = new Float32Array(width * width).map((_, i) => (i % (width + 1) === 0 ? 1 : 0));
    const square = () => tensor(identity, [width, width]);
    const lora = { A: square(), B: square(), scaling: 1, dropout, seed };
    const weight = tensor(new Float32Array(width * width), [width, width]);
    const x = tensor(new Float32Array(N * width).fill(1), [N, width]);
    return Float64Array.from(readFloats(loraLinear(x, [{ weight, bias: null, lora }])[0] as Tensor));
  });
}

/** Inputs of the parts, the operation's arguments from them, and the twin over them. */
export function projectionParts(N: number, width: number, parts: readonly Part[]) {
  const seedOf = (i: number) => 1000 + 7 * i;
  const twinInput = (values: Values, x: Float64Array): twin.LoraLinearInput => ({
    num_rows: N,
    in_features: width,
    x,
    projections: parts.map(({ out, r, bias, scaling = 1, dropout = 0 }, i) => ({
      out_features: out,
      weight: values[`W${i}`] as Float64Array,
      bias: bias ? (values[`b${i}`] as Float64Array) : null,
      lora:
        r === undefined
          ? null
          : {
              r,
              A: values[`A${i}`] as Float64Array,
              B: values[`B${i}`] as Float64Array,
              scaling,
              mask: dropout > 0 ? recoverMask(N, width, dropout, seedOf(i)) : null,
            },
    })),
  });
  const inputs = parts.flatMap(({ out, r, bias }, i) => [
    [`W${i}`, { shape: [out, width], trainable: false, scale: 1 / Math.sqrt(width) }],
    ...(bias ? [[`b${i}`, { shape: [out], trainable: false }]] : []),
    ...(r === undefined ? [] : [[`A${i}`, { shape: [r, width], trainable: true, alwaysFloat32: true }]]),
    ...(r === undefined ? [] : [[`B${i}`, { shape: [out, r], trainable: true, alwaysFloat32: true }]]),
  ]);
  return {
    inputs: Object.fromEntries(inputs) as OpCase['inputs'],
    projections: (tensors: Record<string, Tensor>): Projection[] =>
      parts.map(({ r, scaling = 1, dropout = 0 }, i) => ({
        weight: tensors[`W${i}`] as Tensor,
        bias: tensors[`b${i}`] ?? null,
        lora:
          r === undefined
            ? null
            : { A: tensors[`A${i}`] as Tensor, B: tensors[`B${i}`] as Tensor, scaling, dropout, seed: seedOf(i) },
      })),
    named: <T>(y: readonly T[]): Record<string, T> => Object.fromEntries(y.map((one, i) => [`y${i}`, one])),
    twin: (values: Values, x: Float64Array) => twin.loraLinear(twinInput(values, x)),
    /** Of x, and of the adapters by name. */
    twinGradients(values: Values, x: Float64Array, dy: Values): { dx: Float64Array; adapters: Values } {
      const incoming = parts.map((_, i) => dy[`y${i}`] as Float64Array);
      const { dx, lora } = twin.loraLinearGrad(twinInput(values, x), incoming);
      const adapters = lora.flatMap((pair, i) =>
        pair === null
          ? []
          : [
              [`A${i}`, pair.dA],
              [`B${i}`, pair.dB],
            ],
      );
      return { dx, adapters: Object.fromEntries(adapters) };
    },
  };
}

function loraCase({ name, N, width, parts, trainsInput = true }: Setting): OpCase {
  const own = projectionParts(N, width, parts);
  return {
    name: `${N}×${width} to ${parts.map(({ out }) => out).join(', ')}, ${name}`,
    inputs: { x: { shape: [N, width], trainable: trainsInput }, ...own.inputs },
    run: (tensors) => own.named(loraLinear(tensors.x!, own.projections(tensors))),
    twin: (values) => own.named(own.twin(values, values.x!)),
    twinGradients(values, dy) {
      const { dx, adapters } = own.twinGradients(values, values.x!, dy);
      return { ...(trainsInput && { x: dx }), ...adapters };
    },
  };
}

export const loraLinearCases: OpCase[] = [
  loraCase({ name: 'plain', N: 5, width: 123, parts: [{ out: 77 }] }),
  loraCase({ name: 'plain with bias', N: 5, width: 12, parts: [{ out: 7, bias: true }] }),
  loraCase({ name: 'adapter', N: 5, width: 123, parts: [{ out: 77, r: 4, scaling: 2 }] }),
  loraCase({ name: 'small adapter with bias', N: 5, width: 12, parts: [{ out: 7, r: 3, bias: true, scaling: 0.5 }] }),
  loraCase({ name: 'rank 1, one row', N: 1, width: 9, parts: [{ out: 1, r: 1 }] }),
  loraCase({ name: 'no row', N: 0, width: 8, parts: [{ out: 6, r: 2 }] }),
  loraCase({
    name: 'q, k and v',
    N: 6,
    width: 18,
    parts: [
      { out: 18, r: 4, scaling: 2 },
      { out: 6, r: 4, scaling: 2 },
      { out: 6, r: 4, scaling: 2 },
    ],
  }),
  loraCase({
    name: 'with and without adapters',
    N: 4,
    width: 10,
    parts: [{ out: 5, r: 2, bias: true }, { out: 3 }, { out: 8, r: 3 }],
  }),
  loraCase({ name: 'frozen input', N: 4, width: 10, parts: [{ out: 5, r: 2 }, { out: 3 }], trainsInput: false }),
  loraCase({ name: 'dropout', N: 7, width: 15, parts: [{ out: 9, r: 3, scaling: 2, dropout: 0.3 }] }),
  loraCase({
    name: 'a dropout mask a projection',
    N: 7,
    width: 15,
    parts: [
      { out: 9, r: 3, dropout: 0.5 },
      { out: 4, r: 2, dropout: 0.5, bias: true },
    ],
  }),
  loraCase({ name: 'rank above the width', N: 3, width: 4, parts: [{ out: 5, r: 16, scaling: 0.25 }] }),
];
