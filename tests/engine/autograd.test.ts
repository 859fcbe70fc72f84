// The tape: gradients are exact, nothing stays alive behind a step, recompute changes no bit.
import { beforeAll, describe, expect, it, vi } from 'vitest';
import {
  type Gradients,
  needsGradient,
  parameter,
  recompute,
  record,
  valueAndGradients,
} from '../../src/engine/autograd.ts';
import { adamw } from '../../src/engine/ops/adamw.ts';
import { linearCrossEntropy } from '../../src/engine/ops/linear_cross_entropy.ts';
import { loraLinear } from '../../src/engine/ops/lora_linear.ts';
import { rmsNorm } from '../../src/engine/ops/rms_norm.ts';
import { swiglu } from '../../src/engine/ops/swiglu.ts';
import * as p from '../../src/engine/primitives.ts';
import { startEngine, withoutKernels } from '../../src/engine/runtime.ts';
import {
  liveTensors,
  own,
  readFloats,
  release,
  scope,
  scopeAsync,
  type Tensor,
  tensor,
} from '../../src/engine/tensor.ts';
import { uniformValues } from './random.ts';

beforeAll(async () => {
  const { backend, kernels } = await startEngine();
  console.info(`autograd on ${backend}, kernels: ${kernels.join(', ') || 'none'}`);
});

/** A taped product of two tensors, the smallest operation with two inputs. */
function product(a: Tensor, b: Tensor): Tensor {
  const y = scope(() => p.mul(a, b));
  if (needsGradient(a, b)) {
    record({
      inputs: [a, b],
      outputs: [y],
      saved: [a, b],
      backward: ([dy]) => [p.mul(dy as Tensor, b), p.mul(dy as Tensor, a)],
    });
  }
  return y;
}

const scalarOf = (value: number) => parameter(tensor(Float32Array.of(value), []));
const numberIn = (t: Tensor | undefined) => readFloats(t as Tensor)[0] as number;

const SIZES = { rows: 7, width: 12, rank: 3, vocabulary: 11 };

interface TinyModel {
  x: Tensor;
  norm: Tensor;
  head: Tensor;
  weights: Tensor[];
  parameters: Tensor[];
}

/** One block of norm, gated layer and head, with adapters that all need gradients. */
function tinyModel(): TinyModel {
  const { rows, width, rank, vocabulary } = SIZES;
  const random = (name: string, ...shape: number[]) => tensor(Float32Array.from(uniformValues(name, shape)), shape);
  return {
    x: random('x', rows, width),
    norm: random('norm', width),
    head: random('head', vocabulary, width),
    weights: [0, 1, 2].map((i) => random(`w${i}`, width, width)),
    parameters: [0, 1, 2].flatMap((i) => [
      parameter(random(`A${i}`, rank, width)),
      parameter(random(`B${i}`, width, rank)),
    ]),
  };
}

function block({ norm, weights, parameters }: TinyModel, x: Tensor, dropout: number): Tensor {
  const projection = (i: number) => ({
    weight: weights[i] as Tensor,
    bias: null,
    lora: { A: parameters[2 * i] as Tensor, B: parameters[2 * i + 1] as Tensor, scaling: 2, dropout, seed: 5 + i },
  });
  const { y, sum } = rmsNorm({ x, residual: null, weight: norm, eps: 1e-5 });
  const [gate, up] = loraLinear(y, [projection(0), projection(1)]) as [Tensor, Tensor];
  const [down] = loraLinear(swiglu({ gate, up }), [projection(2)]) as [Tensor];
  return rmsNorm({ x: down, residual: sum, weight: norm, eps: 1e-5 }).y;
}

function lossOf(model: TinyModel, { dropout = 0, recomputes = 0 } = {}): Tensor {
  const run = (x: Tensor, depth: number): Tensor =>
    depth === 0
      ? scope(() => block(model, block(model, x, dropout), dropout))
      : (recompute(([inner]) => [run(inner as Tensor, depth - 1)], [x])[0] as Tensor);
  return linearCrossEntropy({
    x: run(model.x, recomputes),
    weight: model.head,
    edge_rows: Int32Array.of(0, 2, 2, 6),
    edge_targets: Int32Array.of(1, 0, 10, 4),
    edge_weights: Float32Array.of(1, 1, 0.5, 2),
  }).loss;
}

async function gradientBytes(model: TinyModel, options: { dropout?: number; recomputes?: number }): Promise<string[]> {
  return scopeAsync(async () => {
    const { value, gradients } = await valueAndGradients(async () => lossOf(model, options));
    return [value, ...model.parameters.map((t) => gradients.get(t) as Tensor)].map((t) =>
      Buffer.from(readFloats(t).buffer).toString('hex'),
    );
  });
}

describe('gradients', () => {
  it('add up over several uses of one parameter', async () => {
    await scopeAsync(async () => {
      const a = scalarOf(3);
      const b = scalarOf(5);
      // a² b · a = a³ b
      const { value, gradients } = await valueAndGradients(async () => product(product(product(a, a), b), a));
      expect(numberIn(value)).toBe(135);
      expect(numberIn(gradients.get(a))).toBe(3 * 9 * 5);
      expect(numberIn(gradients.get(b))).toBe(27);
    });
  });

  it('are there for used parameters alone', async () => {
    await scopeAsync(async () => {
      const [a, unused, frozen] = [scalarOf(3), scalarOf(1), tensor(Float32Array.of(2), [])];
      const { gradients } = await valueAndGradients(async () => product(a, frozen));
      expect([...gradients.keys()]).toEqual([a]);
      expect(gradients.get(unused)).toBeUndefined();
      expect(frozen.requiresGrad).toBe(false);
    });
  });

  it('of a value without parameters are refused', async () => {
    await scopeAsync(async () => {
      const a = tensor(Float32Array.of(3), []);
      const wrong = valueAndGradients(async () => product(a, a));
      await expect(wrong).rejects.toThrow('valueAndGradients: the value depends on no parameter');
    });
  });

  it('are not taken twice at once', async () => {
    await scopeAsync(async () => {
      const a = scalarOf(3);
      const nested = valueAndGradients(async () => {
        await valueAndGradients(async () => product(a, a));
        return a;
      });
      await expect(nested).rejects.toThrow('valueAndGradients: a tape is recording already');
    });
  });

  it('nothing is recorded outside', () => {
    scope(() => {
      const a = scalarOf(3);
      expect(needsGradient(a)).toBe(false);
      expect(product(a, a).requiresGrad).toBe(false);
    });
  });

  it('report progress up to one', async () => {
    await scopeAsync(async () => {
      const a = scalarOf(2);
      const onProgress = vi.fn();
      await valueAndGradients(async () => product(product(a, a), a), { onProgress });
      expect(onProgress.mock.calls).toEqual([[0.5], [1]]);
    });
  });
});

describe('sums of earlier gradients', () => {
  const gradientsOf = (model: TinyModel, sums: Gradients, recomputes: number) =>
    valueAndGradients(async () => lossOf(model, { recomputes }), { sums }).then(({ gradients }) => gradients);

  it.each([
    ['kernels', 0],
    ['kernels', 2],
    ['compositions', 0],
    ['compositions', 1],
  ])('are added to by %s with %i recomputes, and used up', async (means, recomputes) => {
    const prove = () =>
      scopeAsync(async () => {
        const model = tinyModel();
        const once = await gradientsOf(model, new Map(), recomputes);
        const expected = model.parameters.map((t) => readFloats(once.get(t) as Tensor).map((value) => 2 * value));
        const held = liveTensors();
        const twice = await gradientsOf(model, once, recomputes);
        expect(liveTensors()).toBe(held + 1); // the second value
        expect([...once.values()].every((t) => t.isDisposed)).toBe(true);
        model.parameters.forEach((t, i) => {
          // Three uses of an adapter are added in another order.
          const sums = readFloats(twice.get(t) as Tensor);
          for (const [j, sum] of sums.entries()) expect(sum).toBeCloseTo(expected[i]?.[j] as number, 5);
        });
      });
    await (means === 'kernels' ? prove() : withoutKernels(prove));
  });

  it('of parameters that a step does not use stay as they are', async () => {
    await scopeAsync(async () => {
      const [a, b] = [scalarOf(3), scalarOf(5)];
      const first = await valueAndGradients(async () => product(a, b));
      const { gradients } = await valueAndGradients(async () => product(a, a), { sums: first.gradients });
      expect([numberIn(gradients.get(a)), numberIn(gradients.get(b))]).toEqual([5 + 6, 3]);
    });
  });

  it('that are one tensor for two parameters are two', async () => {
    await scopeAsync(async () => {
      const [a, b] = [scalarOf(3), scalarOf(5)];
      const both = p.fill(1, [], 'float32');
      const sums = new Map([a, b].map((t) => [t, both]));
      const { gradients } = await valueAndGradients(async () => product(a, b), { sums });
      expect([numberIn(gradients.get(a)), numberIn(gradients.get(b))]).toEqual([6, 4]);
    });
    expect(liveTensors()).toBe(0);
  });

  it('reach an adapter that stands in two projections of one call', async () => {
    await scopeAsync(async () => {
      const { x, weights, parameters } = tinyModel();
      const [A, B] = parameters as [Tensor, Tensor];
      const lora = { A, B, scaling: 2, dropout: 0, seed: 1 };
      const loss = async () => {
        const [y, z] = loraLinear(
          x,
          [0, 1].map((i) => ({ weight: weights[i] as Tensor, bias: null, lora })),
        ) as [Tensor, Tensor];
        const edges = { edge_rows: Int32Array.of(0), edge_targets: Int32Array.of(1), edge_weights: Float32Array.of(1) };
        return linearCrossEntropy({ x: swiglu({ gate: y, up: z }), weight: weights[2] as Tensor, ...edges }).loss;
      };
      const once = (await valueAndGradients(loss)).gradients;
      const expected = readFloats(once.get(A) as Tensor).map((value) => 2 * value);
      const twice = (await valueAndGradients(loss, { sums: once })).gradients;
      for (const [i, sum] of readFloats(twice.get(A) as Tensor).entries()) {
        expect(sum).toBeCloseTo(expected[i] as number, 5);
      }
    });
  });
});

describe('memory', () => {
  it('is the same after each step', async () => {
    const counts: number[] = [];
    await scopeAsync(async () => {
      const model = tinyModel();
      for (let step = 1; step <= 4; step++) {
        const previous = model.parameters;
        await scopeAsync(async () => {
          const { gradients } = await valueAndGradients(async () =>
            lossOf(model, { dropout: 0.1, recomputes: step % 2 }),
          );
          const grads = previous.map((t) => gradients.get(t) as Tensor);
          const zeros = previous.map((t) => p.zerosLike(t));
          const settings = { learning_rate: 0.1, betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0 } as const;
          const hyper = { ...settings, max_grad_norm: 1, step, grad_scale: 1 };
          const updated = adamw({ ...hyper, params: previous, grads, m: zeros, v: zeros });
          model.parameters = updated.params.map((t) => parameter(own(t)));
        });
        if (step > 1) previous.forEach(release);
        counts.push(liveTensors());
      }
      model.parameters.forEach(release);
    });
    expect(new Set(counts.slice(1)).size).toBe(1);
    expect(liveTensors()).toBe(0);
  });

  it('of saved tensors is given back while walking back, and gradients belong to the caller', async () => {
    const before = liveTensors();
    let gradients: Gradients = new Map();
    await scopeAsync(async () => {
      const model = tinyModel();
      const base = liveTensors();
      let during = 0;
      const result = await valueAndGradients(async () => {
        const loss = lossOf(model);
        during = liveTensors();
        return loss;
      });
      expect(during).toBeGreaterThan(base + 10);
      expect(liveTensors()).toBe(base + 1 + model.parameters.length);
      gradients = result.gradients;
    });
    expect(liveTensors()).toBe(before);
    expect([...gradients.values()].every((t) => t.isDisposed)).toBe(true);
  });

  it('held for the backward is less with recompute', async () => {
    const held = async (recomputes: number) =>
      scopeAsync(async () => {
        const model = tinyModel();
        let during = 0;
        await valueAndGradients(async () => {
          const loss = scope(() => lossOf(model, { recomputes }));
          during = liveTensors();
          return loss;
        });
        return during;
      });
    const [plain, less] = [await held(0), await held(1)];
    expect(less).toBeLessThan(plain - 10);
  });

  it.each([0, 1])('is given back when the forward fails (%i recomputes)', async (recomputes) => {
    const before = liveTensors();
    await scopeAsync(async () => {
      const model = tinyModel();
      const inner = liveTensors();
      const failing = valueAndGradients(async () => {
        const run = ([x]: Tensor[]) => {
          const y = block(model, x as Tensor, 0);
          return [p.matMul(y, model.head)];
        };
        return (recomputes === 0 ? run([model.x]) : recompute(run, [model.x]))[0] as Tensor;
      });
      await expect(failing).rejects.toThrow(/^MatMul\(/);
      expect(liveTensors()).toBe(inner);
      await expect(gradientBytes(model, {})).resolves.toHaveLength(7);
    });
    expect(liveTensors()).toBe(before);
  });

  it.each([0, 1, 2])('is given back when the backward fails (%i recomputes)', async (recomputes) => {
    await scopeAsync(async () => {
      const model = tinyModel();
      const inner = liveTensors();
      const run = ([x]: Tensor[]): Tensor[] => {
        const y = block(model, x as Tensor, 0);
        const z = scope(() => p.identity(y));
        const fail = () => {
          throw new Error('broken backward');
        };
        record({ inputs: [y], outputs: [z], saved: [y], backward: fail });
        return [block(model, z, 0)];
      };
      const nest = (depth: number): ((inputs: Tensor[]) => Tensor[]) =>
        depth === 0 ? run : (inputs) => recompute(nest(depth - 1), inputs);
      const failing = valueAndGradients(async () => {
        const x = nest(recomputes)([model.x])[0] as Tensor;
        const edges = { edge_rows: Int32Array.of(0), edge_targets: Int32Array.of(1), edge_weights: Float32Array.of(1) };
        return linearCrossEntropy({ x, weight: model.head, ...edges }).loss;
      });
      await expect(failing).rejects.toThrow('broken backward');
      expect(liveTensors()).toBe(inner);
    });
  });
});

describe('recompute', () => {
  it.each([0, 0.4])('changes no bit of value and gradients with dropout %d', async (dropout) => {
    await scopeAsync(async () => {
      const model = tinyModel();
      const plain = await gradientBytes(model, { dropout });
      expect(await gradientBytes(model, { dropout, recomputes: 1 })).toEqual(plain);
      expect(await gradientBytes(model, { dropout, recomputes: 2 })).toEqual(plain);
      expect(new Set(plain).size).toBe(plain.length);
    });
  });

  it('needs no tape to give the value', () => {
    scope(() => {
      const model = tinyModel();
      expect(numberIn(lossOf(model, { recomputes: 1 }))).toBe(numberIn(lossOf(model)));
    });
  });

  it('passes gradients to inputs, several outputs and an input handed through', async () => {
    await scopeAsync(async () => {
      const [a, b] = [scalarOf(3), scalarOf(5)];
      const { gradients } = await valueAndGradients(async () => {
        const twice = product(a, a);
        const [through, ab, unused] = recompute(
          ([t]) => [t as Tensor, product(t as Tensor, b), product(b, b)],
          [twice],
        );
        expect(unused?.requiresGrad).toBe(true);
        return product(through as Tensor, ab as Tensor); // a⁴ b
      });
      expect(numberIn(gradients.get(a))).toBe(4 * 27 * 5);
      expect(numberIn(gradients.get(b))).toBe(81);
    });
  });

  it('takes one tensor twice', async () => {
    await scopeAsync(async () => {
      const a = scalarOf(3);
      const { gradients } = await valueAndGradients(
        async () => recompute(([x, y]) => [product(x as Tensor, y as Tensor)], [a, a])[0] as Tensor,
      );
      expect(numberIn(gradients.get(a))).toBe(6);
    });
  });

  it('records nothing for what needs no gradient', async () => {
    await scopeAsync(async () => {
      const [a, frozen] = [scalarOf(3), tensor(Float32Array.of(2), [])];
      const { gradients } = await valueAndGradients(async () => {
        const [still] = recompute(([t]) => [product(t as Tensor, t as Tensor)], [frozen]);
        expect(still?.requiresGrad).toBe(false);
        return product(a, still as Tensor);
      });
      expect(numberIn(gradients.get(a))).toBe(4);
    });
  });
});
