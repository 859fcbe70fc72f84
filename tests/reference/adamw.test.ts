// The twin of adamw against PyTorch's clip_grad_norm_ and torch.optim.AdamW in float64, over several steps.
import { describe, expect, it } from 'vitest';
import { type AdamwInput, adamw } from './adamw.ts';
import { float64, readOpGoldens } from './op_goldens.ts';
import { relativeError } from './relative_error.ts';

const GOLDENS = readOpGoldens().adamw;
const lists = (values: number[][]): Float64Array[] => values.map((x) => float64(x));
const firstStep = (golden: (typeof GOLDENS)[number]): AdamwInput => ({
  ...golden,
  params: lists(golden.start),
  grads: lists(golden.steps[0]!.grads),
  m: golden.start.map((x) => new Float64Array(x.length)),
  v: golden.start.map((x) => new Float64Array(x.length)),
  step: 1,
});

describe.each(GOLDENS)('twin of adamw, max_grad_norm $max_grad_norm, weight_decay $weight_decay', (golden) => {
  it("follows PyTorch's parameters, moments and norms step by step", () => {
    let state = firstStep(golden);
    for (const [i, expected] of golden.steps.entries()) {
      const next = adamw({ ...state, grads: lists(expected.grads), step: i + 1 });
      expect(next.first_bad).toBe(-1);
      expect(relativeError([next.grad_norm], [expected.grad_norm])).toBeLessThan(1e-14);
      for (const key of ['params', 'm', 'v'] as const) {
        for (const [t, values] of next[key].entries()) {
          expect(relativeError(values, expected[key][t]!)).toBeLessThan(1e-12);
        }
      }
      state = { ...state, params: next.params, m: next.m, v: next.v };
    }
  });
});

describe('twin of adamw', () => {
  it('is tested on steps that clip and steps that do not', () => {
    const golden = GOLDENS[0]!;
    const clipped = golden.steps.map((step) => step.grad_norm > golden.max_grad_norm);
    expect(new Set(clipped)).toEqual(new Set([true, false]));
  });

  it('names the first tensor with a non-finite gradient and changes nothing', () => {
    const input = firstStep(GOLDENS[0]!);
    input.grads[1]![2] = Number.NaN;
    const output = adamw(input);
    expect(output.first_bad).toBe(1);
    expect(output.params).toEqual(input.params);
    expect(output.m).toEqual(input.m);
    expect(output.v).toEqual(input.v);
    expect(output.params[0]).not.toBe(input.params[0]);
  });

  it('leaves its input as it is', () => {
    const input = firstStep(GOLDENS[0]!);
    const before = structuredClone(input);
    adamw(input);
    expect(input).toEqual(before);
  });
});
