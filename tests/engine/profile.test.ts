// The profile: bars of operations and steps in a file that trace viewers read.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { seconds } from '../../src/core/clock.ts';
import * as p from '../../src/engine/primitives.ts';
import { openProfile } from '../../src/engine/profile.ts';
import { startEngine } from '../../src/engine/runtime.ts';
import { scope, tensor } from '../../src/engine/tensor.ts';
import { temporaryFolder } from '../support/temporary.ts';

interface Event {
  name: string;
  cat?: string;
  ph: string;
  tid?: number;
  ts?: number;
  dur?: number;
  args?: { shapes?: string };
}

const folder = temporaryFolder();
const eventsOf = (text: string) => JSON.parse(text) as Event[];

/** [2, 3] x [3, 4], then exp. */
function twoOperations(): void {
  scope(() => {
    const product = p.matMul(tensor(new Float32Array(6), [2, 3]), tensor(new Float32Array(12), [3, 4]));
    p.exp(product);
  });
}

beforeAll(async () => {
  await startEngine();
});

describe('a profile', () => {
  const path = join(folder, 'trace.json');

  it('has a bar for each operation with its shapes, inside the bar of its step', () => {
    const profile = openProfile(path);
    twoOperations();
    const start = seconds();
    twoOperations();
    profile.step('step 1', start, seconds());
    const summary = profile.close();
    expect(summary?.operations.map(({ name, calls, isKernel }) => [name, calls, isKernel]).sort()).toEqual([
      ['Exp', 1, false],
      ['MatMul', 1, false],
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
    const rounding = 0.002;
    expect(before?.to).toBeLessThan(step?.from as number);
    expect(first?.from).toBeGreaterThan((step?.from as number) - rounding);
    expect(last?.from).toBeGreaterThanOrEqual((first?.to as number) - rounding);
    expect(step?.to).toBeGreaterThan((last?.to as number) - rounding);
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
