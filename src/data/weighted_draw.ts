// Draws indices in proportion to whole-number weights that change: a Fenwick tree, log n a draw or a change.

export class WeightedDraw {
  private readonly tree: number[];
  private readonly weights: number[];
  total = 0;

  constructor(weights: readonly number[]) {
    this.tree = new Array<number>(weights.length + 1).fill(0);
    this.weights = new Array<number>(weights.length).fill(0);
    weights.forEach((weight, index) => {
      this.add(index, weight);
    });
  }

  add(index: number, weight: number): void {
    this.weights[index] = (this.weights[index] ?? 0) + weight;
    this.total += weight;
    for (let i = index + 1; i < this.tree.length; i += i & -i) this.tree[i] = (this.tree[i] ?? 0) + weight;
  }

  /** Sets a weight to 0 and returns what it was. */
  remove(index: number): number {
    const weight = this.weights[index] ?? 0;
    this.add(index, -weight);
    return weight;
  }

  /** @param u a random number in [0, 1); the total must not be 0 */
  draw(u: number): number {
    let rest = Math.floor(u * this.total);
    let index = 0;
    for (let step = 2 ** Math.floor(Math.log2(this.tree.length)); step >= 1; step /= 2) {
      const next = this.tree[index + step];
      if (next === undefined || next > rest) continue;
      index += step;
      rest -= next;
    }
    return index;
  }
}
