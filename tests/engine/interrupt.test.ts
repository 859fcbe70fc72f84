// A stop during a step: the step is abandoned and nothing of it stays alive. Its own file, as a stop holds for the
// rest of the process.
import { expect, it } from 'vitest';
import { Interrupted } from '../../src/core/errors.ts';
import { requestStop } from '../../src/core/interrupt.ts';
import { parameter, recompute, record, valueAndGradients } from '../../src/engine/autograd.ts';
import * as p from '../../src/engine/primitives.ts';
import { startEngine } from '../../src/engine/runtime.ts';
import { liveTensors, readFloats, scope, scopeAsync, type Tensor, tensor } from '../../src/engine/tensor.ts';

function square(a: Tensor, beforeBackward: () => void): Tensor {
  const y = scope(() => p.square(a));
  record({
    inputs: [a],
    outputs: [y],
    saved: [a],
    backward([dy]) {
      beforeBackward();
      return [p.mul(p.mul(a, 2), dy as Tensor)];
    },
  });
  return y;
}

it('an interrupted step leaves no live tensors and the parameters as they were', async () => {
  await startEngine();
  await scopeAsync(async () => {
    const a = parameter(tensor(Float32Array.of(1, 2), [2]));
    const before = liveTensors();
    let backwards = 0;
    const stop = () => {
      backwards += 1;
      if (backwards === 2) requestStop('SIGTERM');
    };
    const step = valueAndGradients(async () => {
      const inner = (t: Tensor) => recompute(([x]) => [square(x as Tensor, stop)], [t])[0] as Tensor;
      return square(inner(square(inner(square(a, stop)), stop)), stop);
    });
    await expect(step).rejects.toThrow(new Interrupted('SIGTERM'));
    expect(backwards).toBe(2);
    expect(liveTensors()).toBe(before);
    expect([...readFloats(a)]).toEqual([1, 2]);
  });
  expect(liveTensors()).toBe(0);
});
