// The plan of an epoch: each sample once, full steps, few roles a step, whole questions, fixed by its arguments.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createRng } from '../../src/core/rng.ts';
import { type PlanSource, planEpoch } from '../../src/data/plan.ts';

/** For each role the number of answers to each of its questions; samples in file order, roles mixed. */
function split(roles: number[][], seed = 0): PlanSource {
  const rows = roles.flatMap((questions, role) => questions.map((answers, q) => ({ role, q, answers })));
  const roleIds: number[] = [];
  const questionIds: number[] = [];
  createRng(seed, 'rows')
    .shuffle(rows)
    .forEach(({ role, answers }, id) => {
      for (let a = 0; a < answers; a++) {
        roleIds.push(role);
        questionIds.push(id);
      }
    });
  return { numSamples: roleIds.length, roleIds: Int32Array.from(roleIds), questionIds: Int32Array.from(questionIds) };
}

const anySplit = fc
  .array(fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 12 }), { minLength: 1, maxLength: 10 })
  .map((roles) => split(roles));
const anySettings = fc.record({
  samples_per_step: fc.integer({ min: 1, max: 20 }),
  roles_per_step: fc.option(fc.integer({ min: 1, max: 12 }), { nil: null }),
  seed: fc.integer({ min: 0, max: 99 }),
  epoch: fc.integer({ min: 0, max: 3 }),
});

describe('planEpoch', () => {
  it('takes every sample exactly once, and all steps but the last are full', () => {
    fc.assert(
      fc.property(anySplit, anySettings, (source, settings) => {
        const steps = planEpoch(source, settings);
        expect(steps.flat().sort((a, b) => a - b)).toEqual(Array.from({ length: source.numSamples }, (_, i) => i));
        expect(steps.length).toBe(Math.ceil(source.numSamples / settings.samples_per_step));
        for (const step of steps.slice(0, -1)) expect(step.length).toBe(settings.samples_per_step);
      }),
    );
  });

  it('is a pure function of its arguments', () => {
    fc.assert(
      fc.property(anySplit, anySettings, (source, settings) => {
        expect(planEpoch(source, settings)).toEqual(planEpoch(source, settings));
      }),
      { numRuns: 20 },
    );
    const source = split([[1, 1, 1, 1, 1, 1, 1, 1, 1, 1]]);
    for (const roles_per_step of [null, 2]) {
      const settings = { samples_per_step: 5, roles_per_step, seed: 0, epoch: 0 };
      expect(planEpoch(source, { ...settings, epoch: 1 })).not.toEqual(planEpoch(source, settings));
      expect(planEpoch(source, { ...settings, seed: 1 })).not.toEqual(planEpoch(source, settings));
    }
  });

  it('keeps the answers of a question in one step, but for one question cut where a step is full', () => {
    fc.assert(
      fc.property(anySplit, anySettings, (source, settings) => {
        fc.pre(settings.roles_per_step !== null && settings.samples_per_step >= 5);
        const steps = planEpoch(source, settings);
        for (const step of steps) {
          const questions = new Set(step.map((i) => source.questionIds[i]));
          const later = new Set(
            steps
              .slice(steps.indexOf(step) + 1)
              .flat()
              .map((i) => source.questionIds[i]),
          );
          expect([...questions].filter((question) => later.has(question)).length).toBeLessThanOrEqual(1);
        }
      }),
    );
  });

  it('draws from at most roles_per_step roles, more only when those have no samples left', () => {
    fc.assert(
      fc.property(anySplit, anySettings, (source, settings) => {
        const { roles_per_step } = settings;
        fc.pre(roles_per_step !== null);
        const steps = planEpoch(source, settings);
        const left = new Map<number, number>();
        for (const role of source.roleIds) left.set(role, (left.get(role) ?? 0) + 1);
        for (const step of steps) {
          const roles = [...new Set(step.map((i) => source.roleIds[i] as number))];
          for (const i of step) left.set(source.roleIds[i] as number, (left.get(source.roleIds[i] as number) ?? 0) - 1);
          const unfinished = roles.filter((role) => (left.get(role) ?? 0) > 0);
          if (roles.length > (roles_per_step ?? 0)) expect(unfinished.length).toBeLessThanOrEqual(1);
        }
      }),
    );
  });

  it('shares a step equally among its roles while they all have samples', () => {
    const source = split(Array.from({ length: 10 }, () => new Array<number>(100).fill(1)));
    const [first = []] = planEpoch(source, { samples_per_step: 64, roles_per_step: 8, seed: 0, epoch: 0 });
    const counts = new Map<number, number>();
    for (const i of first) counts.set(source.roleIds[i] as number, (counts.get(source.roleIds[i] as number) ?? 0) + 1);
    expect([...counts.values()]).toEqual(new Array<number>(8).fill(8));
  });

  it('stays fast when every sample has a role of its own', () => {
    const source = split(Array.from({ length: 50_000 }, () => [1]));
    const start = performance.now();
    planEpoch(source, { samples_per_step: 64, roles_per_step: 8, seed: 0, epoch: 0 });
    expect(performance.now() - start).toBeLessThan(5000);
  });
});
