import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createRng } from '../../src/core/rng.ts';
import { argmax, draw, nextToken, nucleus } from '../../src/inference/sampling.ts';
import { goldenJson } from '../support/goldens.ts';

interface Warped {
  temperature: number;
  top_p: number;
  logits: number[];
  kept: Record<string, number>;
}

const { warped } = goldenJson('generate.json') as { warped: Warped[] };
const logitsArbitrary = fc.array(fc.integer({ min: -400, max: 400 }), { minLength: 1, maxLength: 60 });
const settingsArbitrary = fc.record({
  temperature: fc.double({ min: 0.05, max: 5, noNaN: true }),
  top_p: fc.double({ min: 0.01, max: 1, noNaN: true }),
});

/** The same set by the plainest loops: all probabilities, all sorted, taken until they reach top_p. */
function plainNucleus(logits: number[], temperature: number, top_p: number): number[] {
  const exps = logits.map((value) => Math.exp((value - Math.max(...logits)) / temperature));
  const total = exps.reduce((a, b) => a + b, 0);
  const order = exps.map((value, id) => ({ id, p: value / total })).sort((a, b) => b.p - a.p || a.id - b.id);
  const kept: number[] = [];
  let mass = 0;
  for (const { id, p } of order) {
    if (mass >= top_p || p === 0) break;
    kept.push(id);
    mass += p;
  }
  return kept;
}

describe('nucleus', () => {
  it.each(warped)(
    "keeps transformers' tokens at temperature $temperature and top_p $top_p",
    ({ logits, kept, ...settings }) => {
      const { ids, probabilities } = nucleus(Float32Array.from(logits), settings);
      expect(ids.toSorted((a, b) => a - b)).toEqual(
        Object.keys(kept)
          .map(Number)
          .sort((a, b) => a - b),
      );
      ids.forEach((id, i) => {
        expect(probabilities[i]).toBeCloseTo(kept[id] as number, 12);
      });
    },
  );

  it('equals the plain loops for any logits, ties included', () => {
    fc.assert(
      fc.property(logitsArbitrary, settingsArbitrary, (values, settings) => {
        fc.pre(settings.top_p < 1);
        const logits = values.map((value) => value / 40);
        const { ids, probabilities } = nucleus(Float32Array.from(logits), settings);
        const expected = plainNucleus([...Float32Array.from(logits)], settings.temperature, settings.top_p);
        expect(ids).toEqual(expected);
        expect(probabilities.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 12);
      }),
    );
  });

  it('keeps every token at top_p 1', () => {
    expect(nucleus(Float32Array.of(1, 5, 3), { temperature: 1, top_p: 1 }).ids).toEqual([0, 1, 2]);
  });

  it('keeps the best token however small top_p is', () => {
    expect(nucleus(Float32Array.of(1, 5, 5), { temperature: 1, top_p: 1e-9 })).toEqual({
      ids: [1],
      probabilities: [1],
    });
  });
});

describe('draw', () => {
  it('takes the token at u of the cumulative distribution, and the last one where rounding leaves a gap', () => {
    const two = { ids: [7, 3], probabilities: [0.25, 0.7499999] };
    expect([0, 0.2499, 0.25, 0.9, 0.99999999].map((u) => draw(two, u))).toEqual([7, 7, 3, 3, 3]);
  });
});

describe('nextToken', () => {
  it('draws as often as the probabilities say', () => {
    const logits = Float32Array.from([0.5, 0.3, 0.2].map(Math.log));
    const rng = createRng(3, 'test');
    const counts = [0, 0, 0];
    const draws = 20_000;
    for (let i = 0; i < draws; i++) {
      const id = nextToken(logits, { temperature: 1, top_p: 1 }, rng);
      counts[id] = (counts[id] as number) + 1;
    }
    // Five standard deviations of a binomial share.
    const tolerance = 5 * Math.sqrt(0.25 / draws);
    [0.5, 0.3, 0.2].forEach((p, id) => {
      expect(Math.abs((counts[id] as number) / draws - p)).toBeLessThan(tolerance);
    });
  });

  it('takes the first of the best tokens at temperature 0, without a random number', () => {
    const rng = { ...createRng(0), next: () => expect.fail('drew a random number') };
    expect(nextToken(Float32Array.of(1, 4, 4, 2), { temperature: 0, top_p: 0.5 }, rng)).toBe(1);
  });

  it('is a function of the seed', () => {
    const logits = Float32Array.from({ length: 50 }, (_, i) => Math.sin(i));
    const answer = (seed: number) => {
      const rng = createRng(seed, 'generate');
      return Array.from({ length: 20 }, () => nextToken(logits, { temperature: 1, top_p: 0.9 }, rng));
    };
    expect(answer(1)).toEqual(answer(1));
    expect(answer(1)).not.toEqual(answer(2));
  });
});

describe('argmax', () => {
  it('refuses logits that are not finite', () => {
    expect(() => argmax(Float32Array.of(1, Number.NaN))).toThrowErrorMatchingInlineSnapshot(
      `[UserError: model: expected finite logits, got NaN for token 1; the base or the adapter is damaged, or it needs model.dtype=float32.]`,
    );
  });
});
