// Keys and values of the tokens a model has seen, a pair of tensors a layer that grows with each forward.
import { concat } from '../engine/primitives.ts';
import { release, retain, type Tensor } from '../engine/tensor.ts';

interface LayerCache {
  /** [S, K · D], rotated. */
  k: Tensor;
  /** [S, K · D]. */
  v: Tensor;
}

export class KvCache {
  readonly #layers = new Map<number, LayerCache>();

  /** Tokens in the cache. */
  get length(): number {
    return this.#layers.get(0)?.k.shape[0] ?? 0;
  }

  /** Appends the new rows of a layer; returns all of its rows. The model calls it once a layer in each forward. */
  readonly extend = (layer: number, k: Tensor, v: Tensor): LayerCache => {
    const old = this.#layers.get(layer);
    const next = old === undefined ? { k, v } : { k: concat([old.k, k], 0), v: concat([old.v, v], 0) };
    retain(next.k);
    retain(next.v);
    this.#drop(layer);
    this.#layers.set(layer, next);
    return next;
  };

  /** Frees all. The cache is empty afterwards and may be used again. */
  clear(): void {
    for (const layer of [...this.#layers.keys()]) this.#drop(layer);
  }

  #drop(layer: number): void {
    const old = this.#layers.get(layer);
    if (old === undefined) return;
    release(old.k);
    release(old.v);
    this.#layers.delete(layer);
  }
}
