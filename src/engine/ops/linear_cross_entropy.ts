// Output head and cross entropy over loss edges (row, target, weight): loss = Σ weight · (logsumexp(x Wᵀ) − (x Wᵀ)[target]).
// Only rows with edges reach the head, in chunks, so that the logits are never stored whole. The head is frozen:
// forward makes the input gradient at once. Softmax is float32.
import { needsGradient, record } from '../autograd.ts';
import { BYTES } from '../backend.ts';
import { floatBits } from '../host_inputs.ts';
import * as p from '../primitives.ts';
import { hasKernel } from '../runtime.ts';
import { runMany, scope, type Tensor, tensor } from '../tensor.ts';
import { check, checkFloat, checkShapes } from './check.ts';

/** Float32 logits of one chunk, in elements: 64 MB. */
const CHUNK_ELEMENTS = 1 << 24;

export interface LinearCrossEntropyArguments {
  /** [N, C]. */
  x: Tensor;
  /** [V, C], frozen. */
  weight: Tensor;
  /** [E] rows of x; a row may stand in several edges. */
  edge_rows: Int32Array;
  /** [E] in [0, V). */
  edge_targets: Int32Array;
  /** [E]. */
  edge_weights: Float32Array;
}

/** `loss`: float32 scalar, the weighted sum; `edge_losses`: [E] float32, unweighted, without gradient. */
export function linearCrossEntropy(args: LinearCrossEntropyArguments): { loss: Tensor; edge_losses: Tensor } {
  const { x, weight } = args;
  checkArguments(args);
  const wanted = needsGradient(x);
  const compute = hasKernel('RocitLinearCrossEntropy') ? kernel : composition;
  const { loss, edge_losses, dx } = scope(() => compute(args, wanted));
  if (dx !== null) {
    record({
      inputs: [x],
      outputs: [loss],
      saved: [dx],
      backward: ([dloss]) => [p.mul(dx, p.cast(dloss as Tensor, weight.dtype))],
    });
  }
  return { loss, edge_losses };
}

/** Copies of a chunk's logits that the composition holds at once. */
const CHUNK_COPIES = 5;
/** How the kernel cuts its work: rows of a piece, least words of a piece, pieces (kernels/cpu/linear_cross_entropy.cc). */
const [PIECE_ROWS, PIECE_WORDS, PIECES] = [504, 384, 16];

/** About the bytes that the operation takes while it computes `rows` rows with edges and their gradient. */
export function linearCrossEntropyBytes(rows: number, { shape, dtype }: Tensor): number {
  const [V = 0, C = 0] = shape;
  if (!hasKernel('RocitLinearCrossEntropy')) {
    return CHUNK_COPIES * BYTES.float32 * Math.min(CHUNK_ELEMENTS, rows * V);
  }
  const parts = Math.ceil(Math.min(PIECES / Math.ceil(rows / PIECE_ROWS), V / PIECE_WORDS));
  return rows * C * (2 * BYTES[dtype] + parts * BYTES.float32);
}

function checkArguments({ x, weight, edge_rows, edge_targets, edge_weights }: LinearCrossEntropyArguments): void {
  const op = 'linear_cross_entropy';
  const { N = 0, V = 0 } = checkShapes(op, { x: [x, 'N', 'C'], weight: [weight, 'V', 'C'] });
  checkFloat(op, { x, weight });
  const E = edge_rows.length;
  check(
    op,
    edge_targets.length === E && edge_weights.length === E,
    () =>
      `expected as many targets and weights as the ${E} rows, got ${edge_targets.length} and ${edge_weights.length}`,
  );
  const row = edge_rows.findIndex((r) => r < 0 || r >= N);
  check(op, row < 0, () => `expected edge rows in [0, ${N}), got ${edge_rows[row]} at edge ${row}`);
  const target = edge_targets.findIndex((t) => t < 0 || t >= V);
  check(op, target < 0, () => `expected targets in [0, ${V}), got ${edge_targets[target]} at edge ${target}`);
  const wild = edge_weights.findIndex((weight) => !Number.isFinite(weight));
  check(op, wild < 0, () => `expected finite edge weights, got ${edge_weights[wild]} at edge ${wild}`);
}

interface Result {
  loss: Tensor;
  edge_losses: Tensor;
  /** [N, C] for a loss gradient of 1, or null where it is not needed. */
  dx: Tensor | null;
}

function kernel(args: LinearCrossEntropyArguments, wanted: boolean): Result {
  const { x, weight, edge_rows, edge_targets, edge_weights } = args;
  const E = edge_rows.length;
  const edges = [tensor(edge_rows, [E]), tensor(edge_targets, [E]), floatBits(edge_weights, [E])];
  const attributes = { T: { type: x.dtype }, wants_dx: wanted };
  const [loss, edge_losses, dx] = runMany('RocitLinearCrossEntropy', attributes, [x, weight, ...edges], 3) as [
    Tensor,
    Tensor,
    Tensor,
  ];
  return { loss, edge_losses, dx: wanted ? dx : null };
}

function composition(args: LinearCrossEntropyArguments, wanted: boolean): Result {
  const { x, edge_rows, edge_weights } = args;
  const order = edgesByRow(edge_rows);
  if (order.length === 0) {
    return {
      loss: p.fill(0, [], 'float32'),
      edge_losses: p.fill(0, [0], 'float32'),
      dx: wanted ? p.zerosLike(x) : null,
    };
  }
  const chunks = chunksOf(order, args.weight.shape[0] as number).map((rows) =>
    scope(() => computeChunk(args, rows, wanted)),
  );
  const edges = tensor(Int32Array.from(order.flatMap(({ edges }) => edges)), [edge_rows.length, 1]);
  const edge_losses = p.scatterNd(
    edges,
    p.concat(
      chunks.map((c) => c.losses),
      0,
    ),
    [edge_rows.length],
  );
  const loss = p.sum(p.mul(edge_losses, tensor(edge_weights, [edge_rows.length])), [0], false);
  const rows = tensor(Int32Array.from(order.map(({ row }) => row)), [order.length, 1]);
  const dx = wanted
    ? p.scatterNd(
        rows,
        p.concat(
          chunks.map((c) => c.dx as Tensor),
          0,
        ),
        x.shape,
      )
    : null;
  return { loss, edge_losses, dx };
}

interface RowEdges {
  row: number;
  edges: number[];
}

function edgesByRow(edge_rows: Int32Array): RowEdges[] {
  const byRow = new Map<number, RowEdges>();
  edge_rows.forEach((row, edge) => {
    const entry = byRow.get(row);
    if (entry === undefined) byRow.set(row, { row, edges: [edge] });
    else entry.edges.push(edge);
  });
  return [...byRow.values()].sort((a, b) => a.row - b.row);
}

function chunksOf(order: RowEdges[], V: number): RowEdges[][] {
  const size = Math.max(1, Math.floor(CHUNK_ELEMENTS / V));
  return Array.from({ length: Math.ceil(order.length / size) }, (_, i) => order.slice(i * size, (i + 1) * size));
}

// dlogits[row] = (Σ weights of the row) · softmax − Σ weight · onehot(target)
function computeChunk(
  args: LinearCrossEntropyArguments,
  order: RowEdges[],
  wanted: boolean,
): { losses: Tensor; dx: Tensor | null } {
  const { x, weight, edge_targets, edge_weights } = args;
  const shape = [order.length, weight.shape[0] as number];
  const weightOf = (edge: number) => edge_weights[edge] as number;
  const positions = order.flatMap(({ edges }, i) => edges.flatMap((edge) => [i, edge_targets[edge] as number]));
  const indices = tensor(Int32Array.from(positions), [positions.length / 2, 2]);
  const weights = tensor(Float32Array.from(order.flatMap(({ edges }) => edges.map(weightOf))), [positions.length / 2]);
  const totals = Float32Array.from(order.map(({ edges }) => edges.reduce((sum, edge) => sum + weightOf(edge), 0)));
  const picked = p.gather(x, tensor(Int32Array.from(order.map((entry) => entry.row)), [order.length]));
  const logits = p.cast(p.matMul(picked, weight, { transposeB: true }), 'float32');
  const top = p.max(logits, [1], true);
  const shifted = p.sub(logits, top);
  const exps = p.exp(shifted);
  const total = p.sum(exps, [1], true);
  const logTotals = p.gather(p.reshape(p.log(total), [order.length]), edgeRows(order));
  const losses = p.sub(logTotals, p.gatherNd(shifted, indices));
  if (!wanted) return { losses, dx: null };
  const softmax = p.mul(exps, p.div(tensor(totals, [order.length, 1]), total));
  const dlogits = p.sub(softmax, p.scatterNd(indices, weights, shape));
  return { losses, dx: p.matMul(p.cast(dlogits, x.dtype), weight) };
}

/** Position in the chunk of each edge's row. */
function edgeRows(order: RowEdges[]): Tensor {
  const rows = order.flatMap(({ edges }, i) => edges.map(() => i));
  return tensor(Int32Array.from(rows), [rows.length]);
}
