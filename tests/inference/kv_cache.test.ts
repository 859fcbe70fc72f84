import { beforeAll, describe, expect, it } from 'vitest';
import { startEngine } from '../../src/engine/runtime.ts';
import { liveTensors, readFloats, scope, tensor } from '../../src/engine/tensor.ts';
import { KvCache } from '../../src/inference/kv_cache.ts';

const WIDTH = 2;
const rows = (...values: number[]) => tensor(Float32Array.from(values), [values.length / WIDTH, WIDTH]);

beforeAll(async () => {
  await startEngine();
});

describe('KvCache', () => {
  it('appends the new rows of each layer behind the old ones and returns them all', () => {
    const cache = new KvCache();
    expect(cache.length).toBe(0);
    scope(() => {
      cache.extend(0, rows(1, 2, 3, 4), rows(5, 6, 7, 8));
      cache.extend(1, rows(10, 20, 30, 40), rows(50, 60, 70, 80));
    });
    expect(cache.length).toBe(2);
    const found = scope(() => {
      const { k, v } = cache.extend(1, rows(9, 9), rows(0, 0));
      return [k, v].map((t) => [...readFloats(t)]);
    });
    expect(found).toEqual([
      [10, 20, 30, 40, 9, 9],
      [50, 60, 70, 80, 0, 0],
    ]);
    cache.clear();
  });

  it('outlives the scopes its rows were made in, holds two tensors a layer, and frees them when cleared', () => {
    const before = liveTensors();
    const cache = new KvCache();
    for (let token = 0; token < 5; token++) {
      scope(() => {
        for (const layer of [0, 1, 2]) cache.extend(layer, rows(token, token), rows(token, token));
      });
      expect(liveTensors() - before).toBe(6);
    }
    cache.clear();
    expect(liveTensors()).toBe(before);
    expect(cache.length).toBe(0);
  });

  it('may be used again after it was cleared', () => {
    const cache = new KvCache();
    scope(() => cache.extend(0, rows(1, 2), rows(3, 4)));
    cache.clear();
    scope(() => cache.extend(0, rows(5, 6, 7, 8), rows(5, 6, 7, 8)));
    expect(cache.length).toBe(2);
    cache.clear();
  });
});
