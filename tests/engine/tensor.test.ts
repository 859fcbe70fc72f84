// Tensors and scopes: what is freed, what survives, who owns memory, how the library's errors come back.
import { beforeAll, describe, expect, it } from 'vitest';
import * as p from '../../src/engine/primitives.ts';
import { type EngineInfo, startEngine } from '../../src/engine/runtime.ts';
import {
  castAttributes,
  discard,
  liveBytes,
  liveTensors,
  own,
  read,
  readFloats,
  release,
  retain,
  run,
  runMany,
  scope,
  scopeAsync,
  type Tensor,
  tensor,
} from '../../src/engine/tensor.ts';

const ones = (n: number) => tensor(new Float32Array(n).fill(1), [n]);

let engine: EngineInfo;
beforeAll(async () => {
  engine = await startEngine();
});

describe('values', () => {
  it.each([
    ['float32', Float32Array.of(0, -1.5, 3e38, 1e-40)],
    ['int32', Int32Array.of(0, -7, 2 ** 31 - 1, -(2 ** 31))],
    ['uint8', Uint8Array.of(0, 1, 127, 255)],
  ] as const)('come back as they were given: %s', (dtype, values) => {
    scope(() => {
      const t = tensor(values, [2, 2]);
      expect(t).toMatchObject({ shape: [2, 2], dtype, size: 4, bytes: values.byteLength });
      expect(read(t)).toEqual(values);
    });
  });

  it.runIf(hasTensorflow())('round to the nearest even bfloat16', () => {
    scope(() => {
      // 1 + 2^-8 lies in the middle of 1 and 1 + 2^-7; 1 + 3 · 2^-8 in the middle of 1 + 2^-7 and 1 + 2^-6.
      const t = tensor(Float32Array.of(1, 1 + 2 ** -8, 1 + 3 * 2 ** -8, -3.0000001, 1e-30), [5], 'bfloat16');
      expect(t).toMatchObject({ dtype: 'bfloat16', bytes: 10 });
      const values = readFloats(t);
      expect([...values.slice(0, 4)]).toEqual([1, 1, 1 + 2 ** -6, -3]);
      expect(Math.abs((values[4] as number) / 1e-30 - 1)).toBeLessThan(2 ** -8);
    });
  });

  it('may be empty, and scalars have no dimensions', () => {
    scope(() => {
      expect(read(tensor(new Float32Array(0), [0, 3]))).toEqual(new Float32Array(0));
      expect(read(tensor(Float32Array.of(4), []))).toEqual(Float32Array.of(4));
    });
  });

  it('of a wrong count are refused with shape and count', () => {
    expect(() => tensor(Float32Array.of(1, 2), [3])).toThrow('tensor: expected 3 values for shape [3], got 2');
  });

  it('of ints are not read as floats', () => {
    scope(() =>
      expect(() => readFloats(tensor(Int32Array.of(1), [1]))).toThrow('readFloats: expected a float tensor, got int32'),
    );
  });
});

function hasTensorflow(): boolean {
  const isThere = process.env.ROCIT_BACKEND !== 'tfjs';
  if (!isThere) console.warn('skipped: bfloat16, which the tfjs backend lacks');
  return isThere;
}

describe('aliases', () => {
  it('a tensor does not change when the array it was made from changes', () => {
    scope(() => {
      for (const values of [Float32Array.of(1, 2), Int32Array.of(1, 2), Uint8Array.of(1, 2)]) {
        const t = tensor(values, [2]);
        const view = p.reshape(t, [2, 1]);
        const before = [...read(t)];
        values.fill(9);
        expect([...read(t)]).toEqual(before);
        expect([...read(view)]).toEqual(before);
      }
    });
  });

  it('nor when the array is a view into a larger buffer', () => {
    scope(() => {
      const buffer = Float32Array.of(0, 1, 2, 3);
      const t = tensor(buffer.subarray(1, 3), [2]);
      buffer.fill(9);
      expect([...read(t)]).toEqual([1, 2]);
    });
  });

  it('what was read is a copy', () => {
    scope(() => {
      for (const t of [ones(2), p.reshape(ones(2), [1, 2]), p.identity(ones(2))]) {
        read(t).fill(9);
        expect([...read(t)]).toEqual([1, 1]);
      }
    });
  });

  it('a reshaped view outlives the tensor it was made from', () => {
    const before = liveTensors();
    const view = scope(() => p.reshape(p.add(ones(6), 1), [2, 3]));
    expect([...read(view)]).toEqual([2, 2, 2, 2, 2, 2]);
    release(view);
    expect(liveTensors()).toBe(before);
  });
});

describe('scopes', () => {
  it('free all that was made in them', () => {
    const before = [liveTensors(), liveBytes()];
    scope(() => {
      p.add(ones(5), ones(5));
      expect(liveTensors()).toBeGreaterThan(before[0] as number);
    });
    expect([liveTensors(), liveBytes()]).toEqual(before);
  });

  it('free all when an error leaves them', () => {
    const before = liveTensors();
    expect(() =>
      scope(() => {
        ones(3);
        throw new Error('boom');
      }),
    ).toThrow('boom');
    expect(liveTensors()).toBe(before);
  });

  it('hand results to the enclosing scope, in any nesting of arrays, maps and objects', () => {
    const before = liveTensors();
    scope(() => {
      const result = scope(() => {
        ones(7);
        return { one: ones(1), list: [[ones(2)]], map: new Map([['three', ones(3)]]), other: 'text', none: null };
      });
      expect(liveTensors()).toBe(before + 3);
      expect([result.one, result.list[0]?.[0], result.map.get('three')].map((t) => read(t as Tensor).length)).toEqual([
        1, 2, 3,
      ]);
    });
    expect(liveTensors()).toBe(before);
  });

  it('leave alone what was retained, until it is released', () => {
    const before = liveTensors();
    let kept: Tensor | undefined;
    scope(() => {
      kept = retain(ones(4));
    });
    expect(liveTensors()).toBe(before + 1);
    expect([...read(kept as Tensor)]).toEqual([1, 1, 1, 1]);
    release(kept as Tensor);
    expect(liveTensors()).toBe(before);
    expect((kept as Tensor).isDisposed).toBe(true);
  });

  it('leave alone what was owned, and free early what was discarded', () => {
    const before = liveTensors();
    const owned = scope(() => {
      const [a, b] = [ones(1), ones(2)];
      discard([b]);
      expect(b.isDisposed).toBe(true);
      return { keep: () => own(a) }.keep();
    });
    expect(liveTensors()).toBe(before + 1);
    release(owned);
    expect(liveTensors()).toBe(before);
  });

  it('do not touch tensors of the enclosing scope', () => {
    scope(() => {
      const outer = ones(2);
      scope(() => p.add(outer, 1));
      expect([...read(outer)]).toEqual([1, 1]);
      expect(scope(() => outer)).toBe(outer);
      expect([...read(outer)]).toEqual([1, 1]);
    });
  });

  it('work across awaits', async () => {
    const before = liveTensors();
    const result = await scopeAsync(async () => {
      ones(3);
      await new Promise((resolve) => setImmediate(resolve));
      return p.add(ones(3), 1);
    });
    expect(liveTensors()).toBe(before + 1);
    release(result);
    await expect(
      scopeAsync(async () => {
        ones(3);
        await Promise.reject(new Error('late'));
      }),
    ).rejects.toThrow('late');
    expect(liveTensors()).toBe(before);
  });

  it('closed out of order are refused', async () => {
    const wait = () => new Promise((resolve) => setImmediate(resolve));
    const first = scopeAsync(wait);
    const second = scopeAsync(async () => {
      await wait();
      await wait();
    });
    const results = await Promise.allSettled([first, second]);
    for (const result of results) {
      expect(result).toMatchObject({
        status: 'rejected',
        reason: new Error('scopes were closed out of order: two flows use the engine at once'),
      });
    }
  });
});

describe('mistakes', () => {
  it('use after the scope is refused with dtype and shape', () => {
    let stale: Tensor | undefined;
    scope(() => {
      stale = tensor(new Float32Array(6), [2, 3]);
    });
    expect(() => read(stale as Tensor)).toThrow('tensor float32[2, 3] was used after it was freed');
    expect(() => p.add(stale as Tensor, 1)).toThrow('was used after it was freed');
    expect(() => release(stale as Tensor)).toThrow('tensor float32[2, 3] was freed after it was freed');
    expect(() => retain(stale as Tensor)).toThrow('tensor float32[2, 3] was kept after it was freed');
  });

  it("TensorFlow's error comes back with the operation and the shapes", () => {
    const before = liveTensors();
    scope(() => {
      const wrong = () => p.matMul(tensor(new Float32Array(6), [2, 3]), tensor(new Float32Array(8), [4, 2]));
      expect(wrong).toThrow(/^MatMul\(float32\[2, 3\], float32\[4, 2\]\): /);
      expect(wrong).toThrow(engine.backend === 'tensorflow' ? /In\[0\]: \[2,3\], In\[1\]: \[4,2\]/ : /shapes/);
    });
    expect(liveTensors()).toBe(before);
  });

  it('an operation nobody registered is named', () => {
    scope(() => expect(() => run('NoSuchOperation', {}, [ones(1)])).toThrow(/^NoSuchOperation\(float32\[1\]\): /));
  });

  it.runIf(hasTensorflow())('mixed dtypes are refused by name, and the engine works on', () => {
    scope(() => {
      const half = run('Cast', castAttributes('float32', 'bfloat16'), [ones(2)]);
      expect(() => p.add(ones(2), half)).toThrow(/^AddV2\(float32\[2\], bfloat16\[2\]\): /);
      expect([...read(p.add(ones(2), ones(2)))]).toEqual([2, 2]);
    });
  });

  it('wrong counts of outputs or inputs do not bring the process down', () => {
    scope(() => {
      expect(() => runMany('AddV2', { T: { type: 'float32' } }, [ones(1)], 1)).toThrow(/^AddV2\(float32\[1\]\): /);
      expect(() => p.slice(ones(3), [2], [5])).toThrow(/^Slice\(/);
      expect(() => p.reshape(ones(3), [2, 2])).toThrow(/^Reshape\(/);
    });
  });
});
