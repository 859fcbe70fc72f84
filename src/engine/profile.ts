// A profile of the operations that run: one bar each, in the JSON array form of Chrome's trace format (chrome://tracing,
// ui.perfetto.dev). Off unless opened; what is in the file stays readable when the process is killed.
import { closeSync, openSync, writeSync } from 'node:fs';
import { messageOf, UserError } from '../core/errors.ts';
import { describe, observeOperations, type RunOperation, type Tensor } from './tensor.ts';

/** Shapes that a bar names on each side; one call of adamw has more than a thousand. */
const MOST_SHAPES = 8;
/** Operations that wait in memory at most; writing takes time that a step should not see. */
const MOST_WAITING = 50_000;

interface Bar {
  name: string;
  /** In seconds. */
  start: number;
  end: number;
  operation?: Record<string, string | number>;
}

const TRACKS = { operations: 1, steps: 2 } as const;

export interface Profile {
  /** Ends a bar on the track of steps, times as `seconds()` has them; its operations are written out. */
  step(name: string, start: number, end: number): void;
  /** Ends the profile. Returns where the time of the steps went, null without a step. */
  close(): ProfileSummary | null;
}

/** Where the time of the profiled steps went, in seconds. */
export interface ProfileSummary {
  steps: number;
  total: number;
  /** By name, the longest first; calls that lie inside a step only. */
  operations: { name: string; calls: number; seconds: number; compute: number | null }[];
  /**
   * One minus the share of the time that our kernels themselves computed: the library's operations, dispatch, allocation
   * of outputs, the tape, packing. Null where that time is unknown.
   */
  overhead: number | null;
}

/** Records every operation from now on into `path`, which is replaced. UserError where it cannot be written. */
export function openProfile(path: string): Profile {
  const file = openFile(path);
  /** Named and written once a step is over, so that it does not see the time. */
  let operations: RunOperation[] = [];
  const sums = createSums();
  const write = (events: readonly object[]) => {
    if (events.length > 0) writeSync(file, events.map((event) => `,\n${JSON.stringify(event)}`).join(''));
  };
  const flush = () => {
    write(operations.map((operation) => eventOf(barOf(operation), 'operations')));
    operations = [];
  };
  writeSync(file, `[\n${JSON.stringify({ name: 'process_name', ph: 'M', pid: 1, args: { name: 'rocit' } })}`);
  write(Object.entries(TRACKS).map(([name, tid]) => ({ name: 'thread_name', ph: 'M', pid: 1, tid, args: { name } })));
  observeOperations((operation) => {
    operations.push(operation);
    sums.add(operation);
    if (operations.length >= MOST_WAITING) flush();
  });
  return {
    step(name, start, end) {
      sums.endStep(start, end);
      flush();
      write([eventOf({ name, start, end }, 'steps')]);
    },
    close() {
      observeOperations(null);
      flush();
      writeSync(file, '\n]\n');
      closeSync(file);
      return sums.summary();
    },
  };
}

/** Adds up the operations of steps by name. */
function createSums() {
  /** Since the last step. */
  let waiting: Pick<RunOperation, 'name' | 'start' | 'end' | 'compute'>[] = [];
  const byName = new Map<string, ProfileSummary['operations'][number]>();
  const steps = { count: 0, seconds: 0 };
  return {
    add({ name, start, end, compute }: RunOperation): void {
      waiting.push({ name, start, end, compute });
    },
    endStep(from: number, to: number): void {
      steps.count += 1;
      steps.seconds += to - from;
      for (const { name, start, end, compute } of waiting) {
        if (start < from || end > to) continue;
        const before = byName.get(name) ?? { calls: 0, seconds: 0, compute: 0 };
        byName.set(name, {
          ...{ name, calls: before.calls + 1, seconds: before.seconds + end - start },
          compute: sumOfKnown([before.compute, compute]),
        });
      }
      waiting = [];
    },
    summary(): ProfileSummary | null {
      if (steps.count === 0) return null;
      const operations = [...byName.values()].sort((a, b) => b.seconds - a.seconds);
      const inKernels = sumOfKnown(operations.map(({ compute }) => compute));
      const overhead = inKernels === null ? null : 1 - inKernels / steps.seconds;
      return { steps: steps.count, total: steps.seconds, operations, overhead };
    },
  };
}

/** Null if any part is. */
function sumOfKnown(parts: readonly (number | null)[]): number | null {
  return parts.reduce((sum, part) => (sum === null || part === null ? null : sum + part), 0);
}

function openFile(path: string): number {
  try {
    return openSync(path, 'w');
  } catch (error) {
    throw new UserError(`${path}: expected a file that can be written, got: ${messageOf(error)}; choose another one.`);
  }
}

function barOf({ name, inputs, outputs, start, end, compute }: RunOperation): Bar {
  const shapes = `${shapesOf(inputs)} → ${shapesOf(outputs)}`;
  return { name, start, end, operation: { shapes, ...(compute !== null && { compute_us: microseconds(compute) }) } };
}

function shapesOf(tensors: readonly Tensor[]): string {
  const names = tensors.slice(0, MOST_SHAPES).map(describe);
  return [...names, ...(tensors.length > MOST_SHAPES ? [`… ${tensors.length} in all`] : [])].join(', ');
}

function eventOf({ name, start, end, operation: args }: Bar, track: keyof typeof TRACKS): object {
  const times = { ts: microseconds(start), dur: microseconds(end - start) };
  return { name, cat: track, ph: 'X', pid: 1, tid: TRACKS[track], ...times, ...(args && { args }) };
}

function microseconds(time: number): number {
  return Math.round(time * 1e9) / 1e3;
}
