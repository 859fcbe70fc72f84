// Random calls with random mistakes: what fits is computed, what does not is refused by an error that says so.
import fc from 'fast-check';
import { expect } from 'vitest';
import type { Attribute } from '../../src/engine/backend.ts';
import type { DType } from '../../src/engine/tensor.ts';
import type { Argument, Call } from './calls.ts';

const KINDS = ['dtype', 'rank', 'size', 'value', 'setting'] as const;

export interface Mistake {
  kind: (typeof KINDS)[number];
  /** The argument or setting. */
  name: string;
  call: Call;
  /** Whether the call cannot fit any more. */
  isSure: boolean;
  /** What its error has to name. */
  value?: string;
}

const DTYPES: readonly DType[] = ['float32', 'bfloat16', 'int32', 'uint8', 'bool'];

/** All single mistakes that can be made in a call. */
export function mistakesIn(call: Call): Mistake[] {
  const ofArguments = Object.entries(call.args).flatMap(([name, argument]) =>
    argumentMistakes(argument).map(({ changed, ...rest }) => ({
      ...rest,
      name,
      call: { ...call, args: { ...call.args, [name]: changed } },
    })),
  );
  const ofSettings = call.wrongSettings.flatMap((wrong) =>
    Object.entries(wrong).map(([name, value]) => ({
      kind: 'setting' as const,
      name,
      call: { ...call, settings: { ...call.settings, ...wrong } },
      isSure: true,
      value: numberIn(value),
    })),
  );
  return [...ofArguments, ...ofSettings];
}

function numberIn(setting: Attribute): string {
  if (typeof setting === 'number') return String(setting);
  return typeof setting === 'object' && 'float' in setting ? String(setting.float) : '';
}

type Change = Omit<Mistake, 'name' | 'call'> & { changed: Argument };

function argumentMistakes(argument: Argument): Change[] {
  return [...dtypeMistakes(argument), ...rankMistakes(argument), ...sizeMistakes(argument), ...valueMistakes(argument)];
}

function dtypeMistakes(argument: Argument): Change[] {
  if (argument.form === 'list') return [];
  const wrong = argument.wrongTypes ?? DTYPES.filter((dtype) => dtype !== argument.dtype);
  return wrong.map((dtype) => ({ kind: 'dtype', changed: { ...argument, form: 'tensor', dtype }, isSure: true }));
}

function rankMistakes(argument: Argument): Change[] {
  const { form, shape } = argument;
  if (form === 'list' || isNone(argument)) return [];
  const shapes = shape.length === 0 ? [[1]] : [[...shape, 1], shape.slice(1)];
  return shapes.map((other) => shapeMistake('rank', argument, other, true));
}

function sizeMistakes(argument: Argument): Change[] {
  const { shape, free = [] } = argument;
  const grown = shape.map((n, i) => shapeMistake('size', argument, shape.with(i, n + 1), !free.includes(i)));
  const shrunk = shape.flatMap((n, i) =>
    n === 0 ? [] : [shapeMistake('size', argument, shape.with(i, n - 1), !free.includes(i))],
  );
  return [...grown, ...shrunk];
}

function shapeMistake(kind: 'rank' | 'size', argument: Argument, shape: readonly number[], isSure: boolean): Change {
  const changed = { ...argument, shape };
  return { kind, changed, isSure: isSure && !isNone(changed) };
}

function isNone({ isOptional = false, shape }: Argument): boolean {
  return isOptional && shape.length === 1 && shape[0] === 0;
}

function valueMistakes(argument: Argument): Change[] {
  const { values, wrong = [] } = argument;
  return wrong.map(([index, value, told = String(value)]) => ({
    kind: 'value',
    changed: { ...argument, values: values.with(index, value) },
    isSure: true,
    value: told,
  }));
}

/** Which mistakes are made, each by a number: none in half of the runs, two in few. */
const picks = fc.oneof(
  { weight: 5, arbitrary: fc.constant<number[]>([]) },
  { weight: 4, arbitrary: fc.array(fc.nat(), { minLength: 1, maxLength: 1 }) },
  { weight: 1, arbitrary: fc.array(fc.nat(), { minLength: 2, maxLength: 2 }) },
);

/** Kinds are as likely as each other, however many mistakes there are of each. */
function pickMistake(call: Call, pick: number): Mistake {
  const mistakes = mistakesIn(call);
  const byKind = KINDS.map((kind) => mistakes.filter((one) => one.kind === kind)).filter((some) => some.length > 0);
  const ofKind = byKind[pick % byKind.length] as Mistake[];
  return ofKind[Math.floor(pick / byKind.length) % ofKind.length] as Mistake;
}

export interface Outcomes {
  computed: number;
  refused: number;
}

/** Runs random calls; `outcome` gives an error's message or null, `reason` what all messages of the operation match. */
export async function fuzz(
  calls: fc.Arbitrary<Call>,
  { runs, reason }: { runs: number; reason: RegExp },
  outcome: (call: Call) => string | null | Promise<string | null>,
): Promise<Outcomes> {
  const outcomes = { computed: 0, refused: 0 };
  const property = fc.asyncProperty(calls, picks, async (call, numbers) => {
    const made: Mistake[] = [];
    for (const number of numbers) made.push(pickMistake(made.at(-1)?.call ?? call, number));
    const message = await outcome(made.at(-1)?.call ?? call);
    outcomes[message === null ? 'computed' : 'refused'] += 1;
    const first = made.length === 1 ? made[0] : undefined;
    const told = `${made.map(({ kind, name, value }) => `${kind} of ${name} ${value ?? ''}`)}: ${message}`;
    if (made.length === 0) expect(message, told).toBe(null);
    if (first?.isSure) expect(message, told).not.toBe(null);
    if (message !== null) expectReason(message, reason, first);
  });
  await fc.assert(property, { numRuns: runs, seed: 1 });
  return outcomes;
}

/** C++ and JavaScript spell infinity differently. */
function expectReason(message: string, reason: RegExp, mistake: Mistake | undefined): void {
  expect(message).toMatch(reason);
  const plain = (text: string) => text.toLowerCase().replaceAll('infinity', 'inf');
  const told = message.slice(Math.max(message.lastIndexOf('got '), message.lastIndexOf('Value for attr')));
  if (mistake?.value) expect(plain(told), mistake.name).toContain(plain(mistake.value));
}
