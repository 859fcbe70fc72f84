// What a rewritten template calls (jinja_rewrite.ts): operators, filters and methods as Python has them, on the values of
// the JavaScript library, which tell None, what is undefined, whole numbers and fractions apart.
import { Environment } from '@huggingface/jinja';
import { strip, stripEnd, stripStart, words } from './marks.ts';

type Value = ReturnType<Environment['set']>;
type Call = (args: Value[]) => Value;

const boxes = new Environment();

/** A value of the library. */
function box(value: unknown): Value {
  boxes.variables.delete('value');
  return boxes.set('value', value);
}

const FunctionValue = box(() => '').constructor as new (call: Call) => Value;
const NOTHING = box('');

/** The functions by the names that a rewritten template calls them, and what it has written since the last `take`. */
export function pythonFunctions(): { functions: Map<string, Value>; take: () => string } {
  let pieces: string[] = [''];
  const write = (text: string) => {
    pieces[pieces.length - 1] += text;
    return NOTHING;
  };
  const calls: Record<string, Call> = {
    ...CALLS,
    write: ([value]) => write(textOf(value)),
    open: () => {
      pieces.push('');
      return NOTHING;
    },
    close: () => box(pieces.pop() ?? ''),
  };
  return {
    functions: new Map(Object.entries(calls).map(([name, run]) => [`python ${name}`, new FunctionValue(run)])),
    take() {
      const [text = ''] = pieces;
      pieces = [''];
      return text;
    },
  };
}

const CALLS: Readonly<Record<string, Call>> = {
  strip: (args) => box(stripped(args, true, true)),
  lstrip: (args) => box(stripped(args, true, false)),
  rstrip: (args) => box(stripped(args, false, true)),
  '|trim': ([text, ...rest]) => box(stripped([box(textOf(text)), ...rest], true, true)),
  split: (args) => box(splitText(args)),
  title: ([text]) => box(stringOf(text).replace(/\p{L}[\p{L}\p{M}]*/gu, capital)),
  '|title': ([text]) => box(textOf(text).replace(/[^-\s({[<]+/gu, capital)),
  capitalize: ([text]) => box(capital(stringOf(text))),
  '|capitalize': ([text]) => box(capital(textOf(text))),
  '|length': ([value]) => box(lengthOf(value)),
  '|count': ([value]) => box(lengthOf(value)),
  '|string': ([value]) => box(textOf(value)),
  '|join': (args) => box(joined(args)),
  '|default': (args) => withDefault(args),
  '|d': (args) => withDefault(args),
  '==': ([a, b]) => box(isEqual(a, b)),
  '!=': ([a, b]) => box(!isEqual(a, b)),
  '~': ([a, b]) => box(textOf(a) + textOf(b)),
  '%': ([a, b]) => remainder(a, b),
  in: ([item, container]) => box(isIn(item, container)),
  'not in': ([item, container]) => box(!isIn(item, container)),
  item: ([object, index]) => itemOf(object, index),
  iter: ([value]) => iterable(value),
};

/** Python's str() of a value, as Jinja writes it. */
function textOf(value: Value | undefined): string {
  switch (value?.type) {
    case 'StringValue':
      return String(value.value);
    case undefined:
    case 'UndefinedValue':
      return '';
    default:
      return represented(value as Value);
  }
}

/** Python's repr(). */
function represented(value: Value): string {
  switch (value.type) {
    case 'StringValue':
      return quoted(String(value.value));
    case 'IntegerValue':
      return String(value.value);
    case 'FloatValue':
      return floatText(Number(value.value));
    case 'BooleanValue':
      return value.value === true ? 'True' : 'False';
    case 'NullValue':
      return 'None';
    case 'ArrayValue':
      return `[${valuesOf(value).map(represented).join(', ')}]`;
    case 'ObjectValue':
      return `{${[...fieldsOf(value)].map(([key, item]) => `${quoted(key)}: ${represented(item)}`).join(', ')}}`;
    default:
      throw new Error(`a ${value.type} is written out, which only Python can do as Python does`);
  }
}

function quoted(text: string): string {
  const escaped = text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('\r', '\\r').replaceAll('\t', '\\t');
  if (!/^[\p{L}\p{M}\p{N}\p{P}\p{S} ]*$/u.test(escaped))
    throw new Error('a text with controls is written out in a list');
  return escaped.includes("'") && !escaped.includes('"') ? `"${escaped}"` : `'${escaped.replaceAll("'", "\\'")}'`;
}

function floatText(value: number): string {
  const size = Math.abs(value);
  if (size !== 0 && !(size >= 1e-4 && size < 1e16)) throw new Error('a very large or small number is written out');
  return Number.isInteger(value) ? `${value}.0` : String(value);
}

function stringOf(value: Value | undefined): string {
  if (value?.type === 'StringValue') return String(value.value);
  throw new Error(`expected a text, got ${value?.type ?? 'nothing'}`);
}

function valuesOf(value: Value): Value[] {
  return value.value as Value[];
}

function fieldsOf(value: Value): Map<string, Value> {
  return value.value as Map<string, Value>;
}

const isNone = (value: Value | undefined) => value === undefined || value.type === 'NullValue';

/** Positional arguments, with those that were named put in their places. */
function placed(args: readonly Value[], names: readonly string[]): (Value | undefined)[] {
  const last = args.at(-1);
  if (last?.type !== 'KeywordArgumentsValue') return [...args];
  const named = fieldsOf(last);
  const unknown = [...named.keys()].find((key) => !names.includes(key));
  if (unknown !== undefined) throw new Error(`an argument ${unknown} that is not known`);
  return names.map((name, i) => (i < args.length - 1 ? args[i] : named.get(name)));
}

function stripped(args: readonly Value[], start: boolean, end: boolean): string {
  const [value, characters] = placed(args, ['self', 'chars']);
  const text = stringOf(value);
  if (isNone(characters)) return start && end ? strip(text) : start ? stripStart(text) : stripEnd(text);
  const set = new Set(stringOf(characters));
  const points = [...text];
  let [from, to] = [0, points.length];
  while (start && from < to && set.has(points[from] as string)) from += 1;
  while (end && from < to && set.has(points[to - 1] as string)) to -= 1;
  return points.slice(from, to).join('');
}

function splitText(args: readonly Value[]): string[] {
  const [value, separator, most] = placed(args, ['self', 'sep', 'maxsplit']);
  const text = stringOf(value);
  const maxsplit = most === undefined ? -1 : Number(most.value);
  if (isNone(separator)) {
    if (maxsplit >= 0) throw new Error('split() with maxsplit and no separator');
    return words(text);
  }
  const mark = stringOf(separator);
  if (mark === '') throw new Error('empty separator');
  const parts = text.split(mark);
  if (maxsplit < 0 || parts.length <= maxsplit) return parts;
  return [...parts.slice(0, maxsplit), parts.slice(maxsplit).join(mark)];
}

function joined(args: readonly Value[]): string {
  const [value, separator, attribute] = placed(args, ['value', 'd', 'attribute']);
  if (attribute !== undefined) throw new Error('join by an attribute');
  const items = iterable(value);
  return valuesOf(items)
    .map(textOf)
    .join(separator === undefined ? '' : textOf(separator));
}

function withDefault(args: readonly Value[]): Value {
  const [value, other, boolean] = placed(args, ['value', 'default_value', 'boolean']);
  const isMissing = value === undefined || value.type === 'UndefinedValue';
  const isFalse = boolean?.value === true && value !== undefined && !value.__bool__().value;
  return isMissing || isFalse ? (other ?? NOTHING) : value;
}

function capital(word: string): string {
  const [first = '', ...rest] = word;
  return first.toUpperCase() + rest.join('').toLowerCase();
}

function lengthOf(value: Value | undefined): number {
  switch (value?.type) {
    case 'StringValue':
      return [...String(value.value)].length;
    case 'ArrayValue':
    case 'TupleValue':
      return valuesOf(value).length;
    case 'ObjectValue':
      return fieldsOf(value).size;
    case 'UndefinedValue':
      return 0;
    default:
      throw new Error(`a ${value?.type ?? 'missing value'} has no length`);
  }
}

const NUMBERS = ['IntegerValue', 'FloatValue', 'BooleanValue'];

function isEqual(a: Value | undefined, b: Value | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  // Python's True is 1, and 1.0 too.
  if (NUMBERS.includes(a.type) && NUMBERS.includes(b.type)) return Number(a.value) === Number(b.value);
  if (a.type !== b.type) return false;
  if (a.type === 'ArrayValue' || a.type === 'TupleValue') {
    const [x, y] = [valuesOf(a), valuesOf(b)];
    return x.length === y.length && x.every((item, i) => isEqual(item, y[i]));
  }
  if (a.type === 'ObjectValue') {
    const [x, y] = [fieldsOf(a), fieldsOf(b)];
    return x.size === y.size && [...x].every(([key, item]) => y.has(key) && isEqual(item, y.get(key)));
  }
  return a.value === b.value;
}

function remainder(a: Value | undefined, b: Value | undefined): Value {
  const isNumber = (value: Value | undefined) => value?.type === 'IntegerValue' || value?.type === 'FloatValue';
  if (!isNumber(a) || !isNumber(b)) throw new Error('% of something that is no number');
  const [x, y] = [Number(a?.value), Number(b?.value)];
  if (y === 0) throw new Error('% of zero');
  if (a?.type === 'FloatValue' || b?.type === 'FloatValue') throw new Error('% of a fraction');
  return box(((x % y) + y) % y);
}

function isIn(item: Value | undefined, container: Value | undefined): boolean {
  switch (container?.type) {
    case 'StringValue':
      return String(container.value).includes(stringOf(item));
    case 'ArrayValue':
    case 'TupleValue':
      return valuesOf(container).some((other) => isEqual(item, other));
    case 'ObjectValue':
      return item?.type === 'StringValue' && fieldsOf(container).has(String(item.value));
    case 'UndefinedValue':
      return false;
    default:
      throw new Error(`a ${container?.type ?? 'missing value'} holds nothing`);
  }
}

function itemOf(object: Value | undefined, index: Value | undefined): Value {
  const at = Number(index?.value);
  switch (object?.type) {
    case 'StringValue':
      return box([...String(object.value)].at(at));
    case 'ArrayValue':
    case 'TupleValue':
      return valuesOf(object).at(at) ?? box(undefined);
    case 'ObjectValue':
      return box(undefined);
    default:
      throw new Error(`a ${object?.type ?? 'missing value'} has no items`);
  }
}

function iterable(value: Value | undefined): Value {
  if (value === undefined || value.type === 'UndefinedValue') return box([]);
  return value.type === 'StringValue' ? box([...String(value.value)]) : value;
}
