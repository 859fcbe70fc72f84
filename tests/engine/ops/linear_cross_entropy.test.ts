// linear_cross_entropy against its float64 twin.
import { expect, it } from 'vitest';
import { parameter, valueAndGradients } from '../../../src/engine/autograd.ts';
import { linearCrossEntropy } from '../../../src/engine/ops/linear_cross_entropy.ts';
import { readFloats, scopeAsync, type Tensor, tensor } from '../../../src/engine/tensor.ts';
import { linearCrossEntropyCases } from '../cases/linear_cross_entropy.ts';
import { proveOp } from '../proof.ts';

proveOp('linear_cross_entropy', linearCrossEntropyCases, { kernels: ['RocitLinearCrossEntropy'] });

it('rows of several chunks give what each row gives alone', async () => {
  // 2^22 words: a chunk holds four rows, so that six rows are two chunks.
  const [V, rows] = [1 << 22, [5, 0, 3, 1, 4, 2]];
  const targets = rows.map((row) => 1000 * row + 7);
  await scopeAsync(async () => {
    const weight = tensor(
      Float32Array.from({ length: V }, (_, i) => (i % 997) / 997),
      [V, 1],
    );
    const x = parameter(tensor(Float32Array.of(0.5, -1, 2, 0, 3, -0.25), [6, 1]));
    const compute = async (some: number[]) => {
      let losses = new Float32Array(0);
      const { gradients } = await valueAndGradients(async () => {
        const edge_rows = Int32Array.from(some, (e) => rows[e] as number);
        const edge_targets = Int32Array.from(some, (e) => targets[e] as number);
        const edge_weights = new Float32Array(some.length).fill(1);
        const { loss, edge_losses } = linearCrossEntropy({ x, weight, edge_rows, edge_targets, edge_weights });
        losses = Float32Array.from(readFloats(edge_losses));
        return loss;
      });
      return { losses, dx: readFloats(gradients.get(x) as Tensor) };
    };
    const all = await compute([0, 1, 2, 3, 4, 5]);
    for (const [e, row] of rows.entries()) {
      const alone = await compute([e]);
      // Sums of four million float32 numbers, added up in another order.
      expect(all.losses[e]).toBeCloseTo(alone.losses[0] as number, 2);
      expect(all.dx[row]).toBeCloseTo(alone.dx[row] as number, 2);
      expect(alone.dx.filter((g) => g !== 0).length).toBeLessThanOrEqual(1);
    }
  });
});
