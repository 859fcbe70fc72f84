// Cases of embedding.
import { embedding } from '../../../src/engine/ops/embedding.ts';
import * as twin from '../../reference/embedding.ts';
import type { OpCase } from '../op_case.ts';

function embeddingCase(numbers: readonly number[], V: number, C: number): OpCase {
  const ids = Int32Array.from(numbers);
  return {
    name: `${ids.length} of ${V}×${C}`,
    inputs: { weight: { shape: [V, C], trainable: false } },
    run: ({ weight }) => ({ y: embedding({ ids, weight: weight! }) }),
    arrays: { ids },
    twin: ({ weight }) => ({ y: twin.embedding({ vocab_size: V, hidden_size: C, ids: numbers, weight: weight! }) }),
    twinGradients: () => ({}),
    // Rows are copied.
    tolerance: 0,
  };
}

export const embeddingCases: OpCase[] = [
  embeddingCase([4, 0, 4, 10, 3], 11, 123),
  embeddingCase([0], 1, 1),
  embeddingCase([], 5, 8),
  embeddingCase([2, 2, 2], 3, 576),
];
