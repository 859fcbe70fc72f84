// Float64 twin of embedding: row i of the result is row ids[i] of the table. The table is frozen, so no gradient.

/** y [N, C] from ids [N] and weight [V, C] = [vocab_size, hidden_size]. An id outside of the table is an error. */
export function embedding(input: {
  vocab_size: number;
  hidden_size: number;
  ids: ArrayLike<number>;
  weight: Float64Array;
}): Float64Array {
  const { vocab_size, hidden_size, ids, weight } = input;
  const y = new Float64Array(ids.length * hidden_size);
  for (let n = 0; n < ids.length; n++) {
    const id = ids[n]!;
    if (!(id >= 0 && id < vocab_size)) throw new RangeError(`id ${id} at ${n} is not below ${vocab_size}`);
    for (let c = 0; c < hidden_size; c++) y[n * hidden_size + c] = weight[id * hidden_size + c]!;
  }
  return y;
}
