// Cutting a prefix tree into packs: against the best of all partitions, and where the cut belongs.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Branch, depthFirst, numRows, prefixTree, sharedRows, treePacks } from '../../src/data/prefix_tree.ts';
import type { TokenizedSample } from '../../src/data/sample.ts';

function sampleOf(rows: readonly number[], index: number): TokenizedSample {
  const input_ids = Int32Array.from([...rows, 99]);
  const labels = { role: 'role', question: 'q', question_id: index, answer_index: 0, row: index + 1 };
  return { input_ids, is_target: new Uint8Array(input_ids.length).fill(1), ...labels };
}

/** Distinct paths of some samples: the rows of their prefix tree. */
function treeRows(samples: readonly TokenizedSample[]): number {
  const rows = samples.flatMap(({ input_ids }) =>
    Array.from(input_ids.subarray(1), (_, t) => input_ids.slice(0, t + 1).join()),
  );
  return new Set(rows).size;
}

interface Cost {
  rows: number;
  packs: number;
}

function costOf(samples: readonly TokenizedSample[], packs: readonly number[][]): Cost {
  const rows = packs.map((pack) => treeRows(pack.map((i) => samples[i] as TokenizedSample)));
  return { rows: rows.reduce((sum, n) => sum + n, 0), packs: packs.length };
}

/** All partitions of 0 … n − 1. */
function* partitions(n: number): Generator<number[][]> {
  if (n === 0) {
    yield [];
    return;
  }
  for (const packs of partitions(n - 1)) {
    for (let at = 0; at < packs.length; at++) yield packs.map((pack, i) => (i === at ? [...pack, n - 1] : pack));
    yield [...packs, [n - 1]];
  }
}

function best(samples: readonly TokenizedSample[], limit: number): Cost {
  let least: Cost = { rows: Number.POSITIVE_INFINITY, packs: 0 };
  for (const packs of partitions(samples.length)) {
    if (packs.some((pack) => treeRows(pack.map((i) => samples[i] as TokenizedSample)) > limit)) continue;
    const cost = costOf(samples, packs);
    if (cost.rows < least.rows || (cost.rows === least.rows && cost.packs < least.packs)) least = cost;
  }
  return least;
}

const anyRows = (maxLength: number) => fc.array(fc.integer({ min: 1, max: 2 }), { minLength: 1, maxLength });

const lengths = (max: number) => fc.array(fc.integer({ min: 1, max }), { minLength: 1, maxLength: 2 });
/** Up to three roles with questions and answers of random lengths, as rows; each piece has a token of its own. */
const anyRoles = fc
  .array(
    fc.record({
      length: fc.integer({ min: 2, max: 8 }),
      questions: fc.array(fc.record({ length: fc.integer({ min: 1, max: 4 }), answers: lengths(8) }), {
        minLength: 1,
        maxLength: 3,
      }),
    }),
    { minLength: 1, maxLength: 3 },
  )
  .map((roles) => {
    let token = 100;
    const piece = (length: number) => {
      token += 1;
      return new Array<number>(length).fill(token);
    };
    return roles.flatMap((role) => {
      const start = piece(role.length);
      return role.questions.flatMap((question) => {
        const asked = [...start, ...piece(question.length)];
        return question.answers.map((length) => [...asked, ...piece(length)]);
      });
    });
  });

describe('treePacks', () => {
  it('takes on small trees nearly the rows and packs of the best of all partitions, on each of them and together', () => {
    const total = { ours: 0, best: 0, ourPacks: 0, bestPacks: 0 };
    fc.assert(
      fc.property(anyRoles, fc.integer({ min: 20, max: 32 }), (rows, limit) => {
        const samples = rows.slice(0, 7).map(sampleOf);
        const [ours, least] = [costOf(samples, treePacks(samples, limit)), best(samples, limit)];
        expect(ours.packs).toBeLessThanOrEqual(least.packs + 1);
        expect(ours.rows).toBeLessThanOrEqual(1.2 * least.rows);
        total.ours += ours.rows;
        total.best += least.rows;
        total.ourPacks += ours.packs;
        total.bestPacks += least.packs;
      }),
      { seed: 5, numRuns: 200 },
    );
    console.info(`tree packing against the best partition: ${JSON.stringify(total)}`);
    expect(total.ours / total.best).toBeLessThan(1.003);
    expect(total.ourPacks / total.bestPacks).toBeLessThan(1.01);
  });

  it('keeps a tree that fits in one pack', () => {
    fc.assert(
      fc.property(fc.array(anyRows(10), { minLength: 1, maxLength: 20 }), (rows) => {
        const samples = rows.map(sampleOf);
        expect(treePacks(samples, treeRows(samples))).toHaveLength(1);
      }),
    );
  });

  it('never takes more than the samples one by one, nor a pack above the limit', () => {
    fc.assert(
      fc.property(fc.array(anyRows(10), { maxLength: 30 }), fc.integer({ min: 10, max: 40 }), (rows, limit) => {
        const samples = rows.map(sampleOf);
        const packs = treePacks(samples, limit);
        expect(packs.flat().toSorted((a, b) => a - b)).toEqual([...samples.keys()]);
        expect(costOf(samples, packs).rows).toBeLessThanOrEqual(samples.reduce((sum, one) => sum + numRows(one), 0));
        for (const pack of packs) expect(costOf(samples, [pack]).rows).toBeLessThanOrEqual(limit);
      }),
    );
  });

  it('cuts between roles where that is enough, and then between questions, not between answers', () => {
    const role = (r: number) => [7, ...Array.from({ length: 9 }, () => r)];
    const question = (q: number) => [50 + q, 50 + q, 50 + q];
    const answer = (a: number) => [80 + a, 80 + a, 80 + a, 80 + a];
    const samples = [0, 1]
      .flatMap((r) => [0, 1].flatMap((q) => [0, 1].map((a) => [...role(r), ...question(q), ...answer(a)])))
      .map(sampleOf);
    // A role has 10 + 2 · (3 + 2 · 4) = 32 rows, two of them share one.
    expect(treePacks(samples, 63)).toHaveLength(1);
    expect(treePacks(samples, 62)).toEqual([
      [0, 1, 2, 3],
      [4, 5, 6, 7],
    ]);
    expect(treePacks(samples, 31)).toEqual([
      [0, 1],
      [2, 3],
      [4, 5],
      [6, 7],
    ]);
  });

  it('fills up a pack that a cut left open with another role', () => {
    const samples = [...[1, 2, 3].map((q) => [5, 5, 5, 5, 20 + q, 20 + q, 20 + q, 20 + q]), [6, 6, 6, 6]].map(sampleOf);
    expect(treePacks(samples, 12)).toEqual([
      [0, 1],
      [2, 3],
    ]);
  });

  it('gives the same packs for the same samples in another order', () => {
    fc.assert(
      fc.property(
        fc.array(anyRows(10), { minLength: 1, maxLength: 20 }),
        fc.integer({ min: 10, max: 30 }),
        (rows, limit) => {
          const samples = rows.map(sampleOf);
          const ids = (list: readonly TokenizedSample[]) =>
            treePacks(list, limit).map((pack) => pack.map((i) => list[i]?.input_ids.join()));
          expect(ids(samples.toReversed())).toEqual(ids(samples));
        },
      ),
    );
  });
});

describe('prefixTree', () => {
  const rowsBelow = ({ begin, end, children }: Branch): number =>
    children.reduce((sum, child) => sum + rowsBelow(child), end - begin);

  it('has a branch for every stretch, each row once, and every sample ends in a leaf', () => {
    fc.assert(
      fc.property(fc.array(anyRows(10), { minLength: 1, maxLength: 20 }), (rows) => {
        const samples = rows.map(sampleOf);
        const check = (branch: Branch) => {
          const lengths = branch.samples.map((i) => numRows(samples[i] as TokenizedSample));
          if (branch.children.length === 0) expect(lengths).toEqual(lengths.map(() => branch.end));
          else expect(branch.children.flatMap((child) => child.samples)).toEqual(branch.samples);
          for (const child of branch.children) {
            expect(child.begin).toBe(branch.end);
            check(child);
          }
        };
        const tree = prefixTree(samples);
        check(tree);
        expect(rowsBelow(tree)).toBe(treeRows(samples));
      }),
    );
  });
});

describe('depthFirst', () => {
  it('lays every sample beside the one it shares most with', () => {
    fc.assert(
      fc.property(fc.array(anyRows(10), { minLength: 1, maxLength: 20 }), (rows) => {
        const samples = rows.map(sampleOf);
        const leaves = depthFirst(samples).map((i) => samples[i] as TokenizedSample);
        const shared = leaves.slice(1).map((leaf, k) => sharedRows(leaves[k] as TokenizedSample, leaf));
        const total = leaves.reduce((sum, leaf) => sum + numRows(leaf), 0);
        expect(total - shared.reduce((a, b) => a + b, 0)).toBe(treeRows(samples));
      }),
    );
  });
});
