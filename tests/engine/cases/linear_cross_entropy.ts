// Cases of linear_cross_entropy.
import { linearCrossEntropy } from '../../../src/engine/ops/linear_cross_entropy.ts';
import * as twin from '../../reference/linear_cross_entropy.ts';
import type { OpCase, Values } from '../op_case.ts';

interface Setting {
  name: string;
  N: number;
  C: number;
  V: number;
  rows: readonly number[];
  targets: readonly number[];
  weights: readonly number[];
  scale?: number;
}

function crossEntropyCase({ name, N, C, V, rows, targets, weights, scale = 1 }: Setting): OpCase {
  const edges = {
    edge_rows: Int32Array.from(rows),
    edge_targets: Int32Array.from(targets),
    edge_weights: Float32Array.from(weights),
  };
  const input = (values: Values): twin.LinearCrossEntropyInput => ({
    num_rows: N,
    hidden_size: C,
    vocab_size: V,
    x: values.x as Float64Array,
    weight: values.weight as Float64Array,
    ...edges,
  });
  return {
    name: `${N}×${C} to ${V}, ${name}`,
    inputs: { x: { shape: [N, C], trainable: true, scale }, weight: { shape: [V, C], trainable: false } },
    run: ({ x, weight }) => ({ ...linearCrossEntropy({ x: x!, weight: weight!, ...edges }) }),
    arrays: edges,
    twin(values) {
      const { loss, edge_losses } = twin.linearCrossEntropy(input(values));
      return { loss: Float64Array.of(loss), edge_losses };
    },
    twinGradients: (values, { loss }) => ({ x: twin.linearCrossEntropyGrad(input(values), loss?.[0]) }),
    withoutGradient: ['edge_losses'],
    float32Outputs: ['loss', 'edge_losses'],
  };
}

const several = { rows: [4, 0, 2, 4, 2, 2], targets: [10, 0, 5, 3, 5, 76], weights: [1, 0.5, 2, 0.25, 1, 0] };

export const linearCrossEntropyCases: OpCase[] = [
  crossEntropyCase({ name: 'several edges', N: 5, C: 123, V: 77, ...several }),
  crossEntropyCase({ name: 'small', N: 5, C: 16, V: 77, ...several }),
  crossEntropyCase({ name: 'one edge', N: 1, C: 3, V: 5, rows: [0], targets: [4], weights: [1] }),
  crossEntropyCase({ name: 'no edge', N: 4, C: 8, V: 9, rows: [], targets: [], weights: [] }),
  crossEntropyCase({ name: 'no row', N: 0, C: 8, V: 9, rows: [], targets: [], weights: [] }),
  crossEntropyCase({
    name: 'all edges on one row',
    N: 6,
    C: 16,
    V: 31,
    rows: Array(9).fill(3),
    targets: [0, 1, 2, 3, 4, 5, 5, 5, 30],
    weights: Array(9).fill(1),
  }),
  crossEntropyCase({
    name: 'an edge on every row',
    N: 33,
    C: 8,
    V: 19,
    rows: Array.from({ length: 33 }, (_, i) => i),
    targets: Array.from({ length: 33 }, (_, i) => (7 * i) % 19),
    weights: Array.from({ length: 33 }, (_, i) => 1 / (1 + i)),
  }),
  // Logits of several hundred: only a shifted softmax stays finite.
  crossEntropyCase({
    name: 'steep',
    N: 3,
    C: 32,
    V: 13,
    rows: [0, 0, 1],
    targets: [3, 0, 5],
    weights: [1, 1, 1],
    scale: 300,
  }),
  crossEntropyCase({ name: 'one word', N: 2, C: 4, V: 1, rows: [1], targets: [0], weights: [1] }),
];
