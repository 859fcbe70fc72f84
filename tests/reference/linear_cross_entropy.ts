// Float64 twin of linear_cross_entropy: the output head and the loss over loss edges (row, target, weight).
// loss of an edge = log Σ_v exp(logit_v) − logit_target with logits = x[row] · weightᵀ. The head is frozen: only dx.

/** x is [N, C] = [num_rows, hidden_size], weight [V, C] = [vocab_size, hidden_size]; the edge lists are [E]. */
export interface LinearCrossEntropyInput {
  num_rows: number;
  hidden_size: number;
  vocab_size: number;
  x: Float64Array;
  weight: Float64Array;
  /** A row may stand in several edges, or in none. */
  edge_rows: ArrayLike<number>;
  edge_targets: ArrayLike<number>;
  edge_weights: ArrayLike<number>;
}

/** Natural logarithms of the softmax over the vocabulary [V] for one row. */
function logProbabilities(input: LinearCrossEntropyInput, row: number): Float64Array {
  const { hidden_size, vocab_size, x, weight } = input;
  const logits = new Float64Array(vocab_size);
  for (let v = 0; v < vocab_size; v++) {
    for (let c = 0; c < hidden_size; c++)
      logits[v] = logits[v]! + x[row * hidden_size + c]! * weight[v * hidden_size + c]!;
  }
  const largest = Math.max(...logits);
  let total = 0;
  for (const logit of logits) total += Math.exp(logit - largest);
  return logits.map((logit) => logit - largest - Math.log(total));
}

/** loss = Σ edge_weights · edge_losses; edge_losses [E] are unweighted. */
export function linearCrossEntropy(input: LinearCrossEntropyInput): { loss: number; edge_losses: Float64Array } {
  const edge_losses = new Float64Array(input.edge_rows.length);
  let loss = 0;
  for (let e = 0; e < edge_losses.length; e++) {
    edge_losses[e] = -logProbabilities(input, input.edge_rows[e]!)[input.edge_targets[e]!]!;
    loss += input.edge_weights[e]! * edge_losses[e]!;
  }
  return { loss, edge_losses };
}

/** dx [N, C] for `dloss`, the gradient of the scalar loss: Σ_e weight_e · (softmax − one-hot of the target) · weight. */
export function linearCrossEntropyGrad(input: LinearCrossEntropyInput, dloss = 1): Float64Array {
  const { hidden_size, vocab_size, weight } = input;
  const dx = new Float64Array(input.num_rows * hidden_size);
  for (let e = 0; e < input.edge_rows.length; e++) {
    const row = input.edge_rows[e]!;
    const logs = logProbabilities(input, row);
    for (let v = 0; v < vocab_size; v++) {
      const dlogit = dloss * input.edge_weights[e]! * (Math.exp(logs[v]!) - (v === input.edge_targets[e]! ? 1 : 0));
      for (let c = 0; c < hidden_size; c++) {
        const i = row * hidden_size + c;
        dx[i] = dx[i]! + dlogit * weight[v * hidden_size + c]!;
      }
    }
  }
  return dx;
}
