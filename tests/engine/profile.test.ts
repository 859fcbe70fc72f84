// The profile: bars of operations and steps in a file that trace viewers read.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { seconds } from '../../src/core/clock.ts';
import { swiglu } from '../../src/engine/ops/swiglu.ts';
import * as p from '../../src/engine/primitives.ts';
import { openProfile, type ProfileSummary } from '../../src/engine/profile.ts';
import { hasKernel, startEngine } from '../../src/engine/runtime.ts';
import { scope, tensor } from '../../src/engine/tensor.ts';
import { temporaryFolder } from '../support/temporary.ts';

interface Event {
  name: string;
  cat?: string;
  ph: string;
  tid?: number;
  ts?: number;
  dur?: number;
  args?: { shapes?: string; compute_us?: number };
}

await startEngine();
const isBuilt = hasKernel('RocitSwiglu');
/** Where a launch takes long. */
const isEmulated = process.env.ROCIT_KERNELS_FILE !== undefined;
if (!isBuilt) console.log('skipped: the kernels are not built or switched off here (npm run kernels)');

const folder = temporaryFolder();
/** Of times in a file, in microseconds. */
const ROUNDING = 0.002;
const eventsOf = (text: string) => JSON.parse(text) as Event[];

/** [2, 3] x [3, 4], then exp. */
function twoOperations(): void {
  scope(() => {
    const product = p.matMul(tensor(new Float32Array(6), [2, 3]), tensor(new Float32Array(12), [3, 4]));
    p.exp(product);
  });
}

function oneKernel(shape: number[]): void {
  const zeros = () => tensor(new Float32Array(shape.reduce((a, b) => a * b)), shape);
  scope(() => swiglu({ gate: zeros(), up: zeros() }));
}

describe('a profile', () => {
  const path = join(folder, 'trace.json');

  it('has a bar for each operation with its shapes, inside the bar of its step', () => {
    const profile = openProfile(path);
    twoOperations();
    const start = seconds();
    twoOperations();
    profile.step('step 1', start, seconds());
    const summary = profile.close();
    expect(summary?.operations.map(({ name, calls, compute }) => [name, calls, compute]).sort()).toEqual([
      ['Exp', 1, 0],
      ['MatMul', 1, 0],
    ]);
    const inside = summary?.operations.reduce((sum, one) => sum + one.seconds, 0) as number;
    expect(inside).toBeGreaterThan(0);
    expect(inside).toBeLessThanOrEqual(summary?.total as number);
    expect([summary?.steps, summary?.overhead]).toEqual([1, 1]);
    twoOperations();
    const events = eventsOf(readFileSync(path, 'utf8'));
    expect(events.filter(({ ph }) => ph === 'M').map(({ args }) => args)).toEqual([
      { name: 'rocit' },
      { name: 'operations' },
      { name: 'steps' },
    ]);
    const bars = events.filter(({ ph }) => ph === 'X');
    expect(bars.map(({ name, cat, args }) => [name, cat, args?.shapes])).toEqual([
      ['MatMul', 'operations', 'float32[2, 3], float32[3, 4] → float32[2, 4]'],
      ['Exp', 'operations', 'float32[2, 4] → float32[2, 4]'],
      ['MatMul', 'operations', 'float32[2, 3], float32[3, 4] → float32[2, 4]'],
      ['Exp', 'operations', 'float32[2, 4] → float32[2, 4]'],
      ['step 1', 'steps', undefined],
    ]);
    const [before, , first, last, step] = bars.map(({ ts = 0, dur = 0 }) => ({ from: ts, to: ts + dur }));
    expect(before?.to).toBeLessThan(step?.from as number);
    expect(first?.from).toBeGreaterThan((step?.from as number) - ROUNDING);
    expect(last?.from).toBeGreaterThanOrEqual((first?.to as number) - ROUNDING);
    expect(step?.to).toBeGreaterThan((last?.to as number) - ROUNDING);
  });

  it.skipIf(!isBuilt).each([
    ['small', [1, 8], 0, isEmulated ? 1 : 0.5],
    ['large', [2048, 1024], 0.5, 1],
  ])('tells what our kernel itself took of the call: %s', (_, shape, least, most) => {
    const profile = openProfile(path);
    const start = seconds();
    for (let i = 0; i < 20; i++) oneKernel(shape);
    profile.step('step 1', start, seconds());
    const { total, operations, overhead } = profile.close() as ProfileSummary;
    expect(operations.map(({ name, calls }) => [name, calls])).toEqual([['RocitSwiglu', 20]]);
    const bars = eventsOf(readFileSync(path, 'utf8')).filter(({ cat }) => cat === 'operations');
    expect(bars).toHaveLength(20);
    const computed = bars.map(({ dur = 0, args }) => [args?.compute_us as number, dur] as const);
    for (const [compute, dur] of computed) expect(compute).toBeLessThanOrEqual(dur + ROUNDING);
    const [compute, dur] = [0, 1].map((i) => computed.reduce((sum, pair) => sum + (pair[i] as number), 0));
    expect((compute as number) / (dur as number)).toBeGreaterThan(least);
    expect((compute as number) / (dur as number)).toBeLessThan(most);
    expect(operations[0]?.compute).toBeCloseTo((compute as number) / 1e6, 6);
    expect(overhead).toBeCloseTo(1 - (compute as number) / 1e6 / total, 4);
    expect(overhead).toBeGreaterThan(0);
    expect(overhead).toBeLessThan(1);
  });

  it('names a few shapes of an operation that takes many', () => {
    const profile = openProfile(path);
    scope(() =>
      p.concat(
        Array.from({ length: 10 }, () => tensor(Float32Array.of(1), [1])),
        0,
      ),
    );
    expect(profile.close()).toBeNull();
    const bar = eventsOf(readFileSync(path, 'utf8')).find(({ name }) => name === 'ConcatV2');
    const eight = Array.from({ length: 8 }, () => 'float32[1]').join(', ');
    expect(bar?.args?.shapes).toBe(`${eight}, … 11 in all → float32[10]`);
  });

  it('can be read after its process was killed, once closed by hand', () => {
    const profile = openProfile(path);
    twoOperations();
    profile.step('step 1', 0, 1);
    const text = readFileSync(path, 'utf8');
    profile.close();
    expect(eventsOf(`${text}]`).map(({ name }) => name)).toContain('MatMul');
  });

  it('says where it cannot be written', () => {
    writeFileSync(join(folder, 'file'), '');
    expect(() => openProfile(join(folder, 'file', 'trace.json'))).toThrow(
      /file\/trace\.json: expected a file that can be written, got: ENOTDIR.*; choose another one\./,
    );
  });
});
