// What kernels take from the host: made once, as bits, gone with its array.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { constant } from '../../src/engine/host_inputs.ts';
import { backend, startEngine } from '../../src/engine/runtime.ts';
import { liveBytes, liveTensors, read, scope, type Tensor } from '../../src/engine/tensor.ts';

beforeAll(async () => {
  await startEngine();
});

describe('a constant', () => {
  it('is one tensor for one array, outside scopes and counts', () => {
    const [values, before] = [Int32Array.of(3, 1, 2), [liveTensors(), liveBytes()]];
    const first = scope(() => constant(values));
    expect(scope(() => constant(values))).toBe(first);
    expect(constant(values.slice())).not.toBe(first);
    expect([...read(first)]).toEqual([3, 1, 2]);
    expect([liveTensors(), liveBytes()]).toEqual(before);
  });

  it('holds floats as their bits, in the shape asked for', () => {
    const t = constant(Float32Array.of(1, -2), [2, 1]);
    expect([t.dtype, t.shape]).toEqual(['int32', [2, 1]]);
    expect([...new Float32Array(Int32Array.from(read(t)).buffer)]).toEqual([1, -2]);
  });

  it('is given back once nobody has the array or the tensor any more', async () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const free = vi.spyOn(backend(), 'free');
    const { handle: forgotten } = constant(new Int32Array(1000));
    const kept: { tensor?: Tensor } = { tensor: constant(new Int32Array(1000)) };
    const handle = kept.tensor?.handle;
    const untilFreed = (which: number | undefined) =>
      vi.waitFor(() => {
        collect();
        expect(free).toHaveBeenCalledWith(which);
      });
    await untilFreed(forgotten);
    expect(free).not.toHaveBeenCalledWith(handle);
    delete kept.tensor;
    await untilFreed(handle);
    free.mockRestore();
  });
});
