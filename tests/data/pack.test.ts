// Packs: nothing lost or mixed, every path spells its sample, edges are exactly the targets, no sample sees another.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { packStep } from '../../src/data/pack.ts';
import type { TokenizedSample, TreeBatch } from '../../src/data/sample.ts';

function sample(tokens: { id: number; is_target: boolean }[], index: number): TokenizedSample {
  return {
    input_ids: Int32Array.from(tokens, ({ id }) => id),
    is_target: Uint8Array.from(tokens, ({ is_target }) => (is_target ? 1 : 0)),
    role: `role ${index}`,
    question: 'q',
    question_id: index,
    answer_index: 0,
    row: index + 1,
  };
}

const anyToken = (words: number) => fc.record({ id: fc.integer({ min: 0, max: words }), is_target: fc.boolean() });
const anyTokens = (words: number, maxLength: number) => fc.array(anyToken(words), { minLength: 2, maxLength });
/** Samples that share little. */
const apart = fc.array(anyTokens(500, 30), { minLength: 1, maxLength: 25 });
/** Roles, questions and answers, each a piece of the samples; two words only, so that pieces begin alike by chance too. */
const related = fc
  .tuple(
    fc.array(anyTokens(1, 10), { minLength: 1, maxLength: 3 }),
    fc.array(anyTokens(1, 8), { minLength: 1, maxLength: 4 }),
    fc.array(anyTokens(1, 12), { minLength: 1, maxLength: 4 }),
    fc.array(fc.tuple(fc.nat(), fc.nat(), fc.nat()), { minLength: 1, maxLength: 25 }),
  )
  .map(([roles, questions, answers, picks]) =>
    picks.map((at) => [roles, questions, answers].flatMap((list, i) => list[(at[i] ?? 0) % list.length] ?? [])),
  );
const anySamples = fc.oneof(apart, related).map((list) => list.map(sample));
const anySettings = fc.record({
  strategy: fc.constantFrom('tree' as const, 'sequence' as const, 'none' as const),
  max_tokens_per_pack: fc.integer({ min: 29, max: 90 }),
});

/** The tokens that row `q` of a pack sees, itself included. */
function seen({ input_ids, subtree_end }: TreeBatch, q: number): number[] {
  return [...input_ids.keys()].filter((k) => k <= q && q < (subtree_end[k] ?? 0)).map((k) => input_ids[k] ?? -1);
}

describe('packStep', () => {
  it('gives every target of every sample one edge, whose row sees exactly the tokens before it', () => {
    fc.assert(
      fc.property(anySamples, anySettings, (samples, settings) => {
        const found = samples.map(() => new Map<number, number>());
        for (const pack of packStep(samples, settings)) {
          pack.edge_rows.forEach((row, e) => {
            const index = pack.edge_samples[e] as number;
            const path = seen(pack, row);
            const { input_ids, is_target } = samples[index] as TokenizedSample;
            expect(path).toEqual([...input_ids.subarray(0, path.length)]);
            expect(pack.position_ids[row]).toBe(path.length - 1);
            expect(pack.edge_targets[e]).toBe(input_ids[path.length]);
            expect(is_target[path.length]).toBe(1);
            found[index]?.set(path.length, (found[index]?.get(path.length) ?? 0) + (pack.edge_weights[e] ?? 0));
          });
        }
        samples.forEach(({ is_target }, index) => {
          const targets = [...is_target.keys()].filter((t) => t > 0 && is_target[t] === 1);
          expect([...(found[index] ?? [])].sort(([a], [b]) => a - b)).toEqual(targets.map((t) => [t, 1]));
        });
      }),
    );
  });

  it('holds every sample once, in packs within the limit, and gives the same packs again', () => {
    fc.assert(
      fc.property(anySamples, anySettings, (samples, settings) => {
        const packs = packStep(samples, settings);
        const rows = packs.map(({ input_ids }) => input_ids.length);
        expect(Math.max(...rows)).toBeLessThanOrEqual(settings.max_tokens_per_pack);
        const unshared = samples.reduce((sum, { input_ids }) => sum + input_ids.length - 1, 0);
        const total = rows.reduce((sum, n) => sum + n, 0);
        if (settings.strategy === 'tree') expect(total).toBeLessThanOrEqual(unshared);
        else expect(total).toBe(unshared);
        expect(packs.reduce((sum, pack) => sum + pack.num_samples, 0)).toBe(samples.length);
        if (settings.strategy === 'none') expect(packs.every((pack) => pack.num_samples === 1)).toBe(true);
        expect(packStep(samples, settings)).toEqual(packs);
      }),
    );
  });

  it('with trees gives every row of a pack another path', () => {
    fc.assert(
      fc.property(anySamples, anySettings, (samples, { max_tokens_per_pack }) => {
        for (const pack of packStep(samples, { strategy: 'tree', max_tokens_per_pack })) {
          const paths = [...pack.input_ids.keys()].map((row) => seen(pack, row).join());
          expect(new Set(paths).size).toBe(paths.length);
          paths.forEach((path, row) => {
            expect(pack.position_ids[row]).toBe(path.split(',').length - 1);
          });
        }
      }),
    );
  });

  it('gives the edges of a sample its weight, in every strategy', () => {
    fc.assert(
      fc.property(anySamples, anySettings, (samples, settings) => {
        const weighted = samples.map((one, i) => ({ ...one, weight: 1 / (1 + (i % 3)) }));
        for (const { edge_weights, edge_samples } of packStep(weighted, settings)) {
          edge_weights.forEach((weight, e) => {
            expect(weight).toBe(Math.fround(weighted[edge_samples[e] as number]?.weight ?? 0));
          });
        }
      }),
    );
  });

  it('lets subtrees nest and end inside the pack', () => {
    fc.assert(
      fc.property(anySamples, anySettings, (samples, settings) => {
        for (const { subtree_end, input_ids } of packStep(samples, settings)) {
          subtree_end.forEach((end, k) => {
            expect(end > k && end <= input_ids.length).toBe(true);
            for (let j = k; j < end; j++) expect(subtree_end[j]).toBeLessThanOrEqual(end);
          });
        }
      }),
    );
  });

  it('lays samples end to end', () => {
    const targets = (ids: number[], from: number) => ids.map((id, t) => ({ id, is_target: t >= from }));
    const samples = [sample(targets([1, 2, 3], 2), 0), sample(targets([4, 5, 6, 7], 2), 1)];
    expect(packStep(samples, { strategy: 'sequence', max_tokens_per_pack: 5 })).toEqual([
      {
        input_ids: Int32Array.of(1, 2, 4, 5, 6),
        position_ids: Int32Array.of(0, 1, 0, 1, 2),
        subtree_end: Int32Array.of(2, 2, 5, 5, 5),
        edge_rows: Int32Array.of(1, 3, 4),
        edge_targets: Int32Array.of(3, 6, 7),
        edge_weights: Float32Array.of(1, 1, 1),
        edge_samples: Int32Array.of(0, 1, 1),
        num_samples: 2,
      },
    ]);
    expect(packStep(samples, { strategy: 'sequence', max_tokens_per_pack: 4 })).toHaveLength(2);
  });

  it('lays a role, its question and two answers out once, and predicts both answers from the question', () => {
    const targets = (ids: number[], from: number) => ids.map((id, t) => ({ id, is_target: t >= from }));
    const samples = [
      sample(targets([1, 2, 5, 6, 9], 2), 0),
      sample(targets([1, 2, 3, 9], 2), 1),
      sample(targets([1, 2, 5, 7], 2), 2),
    ];
    expect(packStep(samples, { strategy: 'tree', max_tokens_per_pack: 6 })).toEqual([
      {
        input_ids: Int32Array.of(1, 2, 3, 5, 6),
        position_ids: Int32Array.of(0, 1, 2, 2, 3),
        subtree_end: Int32Array.of(5, 5, 3, 5, 5),
        edge_rows: Int32Array.of(1, 2, 1, 3, 1, 3, 4),
        edge_targets: Int32Array.of(3, 9, 5, 7, 5, 6, 9),
        edge_weights: new Float32Array(7).fill(1),
        edge_samples: Int32Array.of(1, 1, 2, 2, 0, 0, 0),
        num_samples: 3,
      },
    ]);
  });

  it('refuses a sample that is longer than a pack, and names both keys', () => {
    const long = sample(
      Array.from({ length: 12 }, (_, id) => ({ id, is_target: true })),
      4,
    );
    expect(() =>
      packStep([long], { strategy: 'sequence', max_tokens_per_pack: 10 }),
    ).toThrowErrorMatchingInlineSnapshot(
      `[UserError: packing.max_tokens_per_pack: expected room for every sample, got 10 and a sample of 11 tokens (role role 4, row 5); raise packing.max_tokens_per_pack or lower data.max_seq_length.]`,
    );
  });
});
