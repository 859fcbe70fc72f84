// The plan of an epoch: each sample once, steps as full as whole questions make them, few roles, fixed by its arguments.
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
const anyRoleSettings = anySettings.map(({ roles_per_step, ...rest }) => ({
  ...rest,
  roles_per_step: roles_per_step ?? 3,
}));

describe('planEpoch', () => {
  it('takes every sample exactly once', () => {
    fc.assert(
      fc.property(anySplit, anySettings, (source, settings) => {
        const steps = planEpoch(source, settings);
        expect(steps.flat().sort((a, b) => a - b)).toEqual(Array.from({ length: source.numSamples }, (_, i) => i));
        for (const step of steps) expect(step.length).toBeGreaterThan(0);
      }),
    );
  });

  it('with a uniform shuffle fills all steps but the last', () => {
    fc.assert(
      fc.property(anySplit, anySettings, (source, settings) => {
        const steps = planEpoch(source, { ...settings, roles_per_step: null });
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

  it('keeps all answers of a question in one step, which they exceed only where they fill it alone', () => {
    fc.assert(
      fc.property(anySplit, anyRoleSettings, (source, settings) => {
        const steps = planEpoch(source, settings).map((step) => step.map((i) => source.questionIds[i] as number));
        const all = steps.flatMap((questions) => [...new Set(questions)]);
        expect(all.length).toBe(new Set(all).size);
        for (const questions of steps) {
          if (questions.length > settings.samples_per_step) expect(new Set(questions).size).toBe(1);
        }
      }),
    );
  });

  it('misses samples_per_step by less than one question in all steps but the last', () => {
    fc.assert(
      fc.property(anySplit, anyRoleSettings, (source, settings) => {
        const answers = new Map<number, number>();
        for (const id of source.questionIds) answers.set(id, (answers.get(id) ?? 0) + 1);
        const steps = planEpoch(source, settings);
        steps.slice(0, -1).forEach((step, s) => {
          const later = steps.slice(s + 1).flat();
          const largest = Math.max(...later.map((i) => answers.get(source.questionIds[i] as number) ?? 0));
          expect(settings.samples_per_step - step.length).toBeLessThan(largest);
        });
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
