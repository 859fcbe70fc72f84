// A profile of the operations that run: one bar each, in the JSON array form of Chrome's trace format (chrome://tracing,
// ui.perfetto.dev). Off unless opened; what is in the file stays readable when the process is killed.
import { closeSync, openSync, writeSync } from 'node:fs';
import { messageOf, UserError } from '../core/errors.ts';
import { describe, observeOperations, type RunOperation, type Tensor } from './tensor.ts';

/** Shapes that a bar names on each side; one call of adamw has more than a thousand. */
const MOST_SHAPES = 8;
/** Bars that wait in memory at most; writing takes time that a step should not see. */
const MOST_WAITING = 50_000;

interface Bar {
  name: string;
  /** In seconds. */
  start: number;
  end: number;
  shapes?: string;
}

const TRACKS = { operations: 1, steps: 2 } as const;

export interface Profile {
  /** Ends a bar on the track of steps, times as `seconds()` has them; its operations are written out. */
  step(name: string, start: number, end: number): void;
  /** Ends the profile. Returns the share of the steps' time that was spent inside operations, null without a step. */
  close(): number | null;
}

/** Records every operation from now on into `path`, which is replaced. UserError where it cannot be written. */
export function openProfile(path: string): Profile {
  const file = openFile(path);
  let operations: Bar[] = [];
  /** Start and end of every operation since the last step. */
  let spans: [number, number][] = [];
  let inSteps = { total: 0, operations: 0 };
  const write = (events: readonly object[]) => {
    if (events.length > 0) writeSync(file, events.map((event) => `,\n${JSON.stringify(event)}`).join(''));
  };
  const flush = () => {
    write(operations.map((bar) => eventOf(bar, 'operations')));
    operations = [];
  };
  writeSync(file, `[\n${JSON.stringify({ name: 'process_name', ph: 'M', pid: 1, args: { name: 'rocit' } })}`);
  write(Object.entries(TRACKS).map(([name, tid]) => ({ name: 'thread_name', ph: 'M', pid: 1, tid, args: { name } })));
  observeOperations((operation) => {
    operations.push(barOf(operation));
    spans.push([operation.start, operation.end]);
    if (operations.length >= MOST_WAITING) flush();
  });
  return {
    step(name, start, end) {
      const within = spans.filter(([from, to]) => from >= start && to <= end);
      const busy = within.reduce((sum, [from, to]) => sum + to - from, 0);
      spans = [];
      inSteps = { total: inSteps.total + end - start, operations: inSteps.operations + busy };
      flush();
      write([eventOf({ name, start, end }, 'steps')]);
    },
    close() {
      observeOperations(null);
      flush();
      writeSync(file, '\n]\n');
      closeSync(file);
      return inSteps.total > 0 ? inSteps.operations / inSteps.total : null;
    },
  };
}

function openFile(path: string): number {
  try {
    return openSync(path, 'w');
  } catch (error) {
    throw new UserError(`${path}: expected a file that can be written, got: ${messageOf(error)}; choose another one.`);
  }
}

function barOf({ name, inputs, outputs, start, end }: RunOperation): Bar {
  return { name, start, end, shapes: `${shapesOf(inputs)} → ${shapesOf(outputs)}` };
}

function shapesOf(tensors: readonly Tensor[]): string {
  const names = tensors.slice(0, MOST_SHAPES).map(describe);
  return [...names, ...(tensors.length > MOST_SHAPES ? [`… ${tensors.length} in all`] : [])].join(', ');
}

function eventOf({ name, start, end, shapes }: Bar, track: keyof typeof TRACKS): object {
  const times = { ts: microseconds(start), dur: microseconds(end - start) };
  const args = shapes === undefined ? {} : { args: { shapes } };
  return { name, cat: track, ph: 'X', pid: 1, tid: TRACKS[track], ...times, ...args };
}

function microseconds(time: number): number {
  return Math.round(time * 1e9) / 1e3;
}
