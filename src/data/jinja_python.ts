// Jinja as Python has it, where the JavaScript library differs without saying so: stripping (the white space, and the
// characters that are named), equality of lists and mappings, lengths in code points, words with a capital letter,
// selecting by what is not defined, variables that are set inside a loop, and what a loop has written before `continue`.
// The parsed template is rewritten to call the functions below.
import { strip, stripEnd, stripStart, words } from './marks.ts';

interface Node {
  type: string;
  [field: string]: unknown;
}

/** Names that no template can spell. */
const CALLS = ['strip', 'lstrip', 'rstrip', 'split', 'title', 'capitalize'];
const FILTERS = ['trim', 'length', 'count', 'title', 'capitalize'];

/** What the rewritten template calls, by name; arguments and results are the values inside those of the library. */
export const pythonFunctions: Readonly<Record<string, (...args: never[]) => unknown>> = {
  'python strip': (text: unknown, chars?: string | null) => stripped(text, chars, true, true),
  'python lstrip': (text: unknown, chars?: string | null) => stripped(text, chars, true, false),
  'python rstrip': (text: unknown, chars?: string | null) => stripped(text, chars, false, true),
  'python trim': (text: unknown, chars?: string | null) => stripped(text ?? '', chars, true, true),
  'python split': splitText,
  'python title': (text: unknown) => asText(text).replace(/\p{L}[\p{L}\p{M}]*/gu, (word) => capital(word)),
  'python capitalize': (text: unknown) => capital(asText(text)),
  'python length': lengthOf,
  'python count': lengthOf,
  'python ==': (a: unknown, b: unknown) => isEqual(a, b),
  'python !=': (a: unknown, b: unknown) => !isEqual(a, b),
};

/** Rewrites the parsed template in place. What it writes then goes to the function `python write`. */
export function asPython(program: { body: object[] }): void {
  rewriteFields(program.body);
  program.body = writing(withFreshVariables(list(program.body)));
}

function rewriteFields(node: unknown): void {
  if (Array.isArray(node)) {
    node.forEach((child: unknown, i) => {
      node[i] = rewritten(child);
    });
  } else if (node instanceof Map) {
    for (const [key, value] of [...node]) {
      node.delete(key);
      node.set(rewritten(key), rewritten(value));
    }
  } else if (isObjectNode(node)) {
    for (const [field, value] of Object.entries(node)) {
      if (field !== 'operator') node[field] = rewritten(value);
    }
  }
}

/** Statements whose output goes to `python write`, but for those whose output is taken up by another statement. */
function writing(statements: readonly Node[]): Node[] {
  return statements.map((node) => {
    switch (node.type) {
      case 'If':
        return { ...node, body: writing(list(node.body)), alternate: writing(list(node.alternate)) };
      case 'For':
        return { ...node, body: writing(list(node.body)), defaultBlock: writing(list(node.defaultBlock)) };
      case 'Set':
      case 'Macro':
      case 'Break':
      case 'Continue':
      case 'Comment':
        return node;
      default:
        return call('write', [node]);
    }
  });
}

/** Every turn of a loop begins with the variables from outside, whatever the turn before has set. */
function withFreshVariables(statements: readonly Node[]): Node[] {
  return statements.flatMap((node): Node[] => {
    const blocks = Object.entries(node).map(([field, value]): [string, unknown] => [
      field,
      ['body', 'alternate', 'defaultBlock'].includes(field) ? withFreshVariables(list(value)) : value,
    ]);
    const inner = { ...Object.fromEntries(blocks), type: node.type } as Node;
    if (node.type !== 'For') return [inner];
    const names = [...new Set(variablesSet(list(node.body)))];
    const keep = names.map((name) => set(`python outer ${name}`, name));
    const restore = names.map((name) => set(name, `python outer ${name}`));
    return [...keep, { ...inner, body: [...restore, ...list(inner.body)] }];
  });
}

/** Variables that the statements of one turn set; those of loops inside it are gone with them. */
function variablesSet(statements: readonly Node[]): string[] {
  return statements.flatMap((node) => {
    const { assignee } = node;
    if (node.type === 'Set' && isNode(assignee)) {
      const targets = assignee.type === 'TupleLiteral' ? list(assignee.value) : [assignee];
      return targets.flatMap(({ type, value }) => (type === 'Identifier' ? [String(value)] : []));
    }
    return node.type === 'If' ? variablesSet([...list(node.body), ...list(node.alternate)]) : [];
  });
}

function set(name: string, from: string): Node {
  const identifier = (value: string) => ({ type: 'Identifier', value });
  return { type: 'Set', assignee: identifier(name), value: identifier(from), body: [] };
}

function list(value: unknown): Node[] {
  return Array.isArray(value) ? value.filter(isNode) : [];
}

function rewritten(value: unknown): unknown {
  rewriteFields(value);
  if (!isNode(value)) return value;
  if (value.type === 'BinaryExpression') {
    const { value: operator } = value.operator as { value: string };
    return operator === '==' || operator === '!=' ? call(operator, [value.left, value.right]) : value;
  }
  if (value.type === 'CallExpression') return methodCall(value);
  return value.type === 'FilterExpression' ? filter(value) : value;
}

function methodCall(node: Node): Node {
  const { callee, args } = node;
  if (!isNode(callee) || callee.type !== 'MemberExpression' || callee.computed === true) return node;
  const { property, object } = callee;
  const name = isNode(property) ? String(property.value) : '';
  return CALLS.includes(name) ? call(name, [object, ...(args as unknown[])]) : node;
}

function filter(node: Node): Node {
  const { filter: used, operand } = node;
  if (!isNode(used)) return node;
  const args = Array.isArray(used.args) ? used.args : [];
  const callee = used.type === 'CallExpression' ? used.callee : used;
  const name = isNode(callee) ? String(callee.value) : '';
  if (FILTERS.includes(name)) return call(name, [operand, ...args]);
  const [attribute, test] = args as { value?: unknown }[];
  // The library takes what is missing for no match, whatever the test.
  if ((name === 'selectattr' || name === 'rejectattr') && test?.value === 'undefined') {
    const opposite = { type: 'Identifier', value: name === 'selectattr' ? 'rejectattr' : 'selectattr' };
    const defined = { type: 'StringLiteral', value: 'defined' };
    return { ...node, filter: { type: 'CallExpression', callee: opposite, args: [attribute, defined] } };
  }
  return node;
}

function call(name: string, args: unknown[]): Node {
  return { type: 'CallExpression', callee: { type: 'Identifier', value: `python ${name}` }, args };
}

/** What Python's Jinja writes for a value. */
export function writtenText(value: unknown): string {
  if (typeof value === 'string') return value;
  if (value === undefined) return '';
  if (value === null) return 'None';
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  if (typeof value === 'number') return String(value);
  throw new Error('a list or a mapping is written out, which only Python can do as Python does');
}

function asText(value: unknown): string {
  if (typeof value === 'string') return value;
  throw new Error(`expected a text, got ${value === undefined ? 'an undefined value' : String(value)}`);
}

function stripped(value: unknown, chars: string | null | undefined, start: boolean, end: boolean): string {
  const text = asText(value);
  if (chars === undefined || chars === null) {
    if (start && end) return strip(text);
    return start ? stripStart(text) : stripEnd(text);
  }
  const set = new Set(asText(chars));
  const points = [...text];
  let [from, to] = [0, points.length];
  while (start && from < to && set.has(points[from] as string)) from += 1;
  while (end && from < to && set.has(points[to - 1] as string)) to -= 1;
  return points.slice(from, to).join('');
}

/** str.split(sep, maxsplit); without a separator only plain white space is known to be split as in Python. */
function splitText(value: unknown, separator?: string | null, maxsplit = -1): string[] {
  const text = asText(value);
  if (separator === undefined || separator === null) {
    if (maxsplit !== -1) throw new Error('split() with maxsplit and no separator');
    return words(text);
  }
  if (separator === '') throw new Error('empty separator');
  const parts = text.split(separator);
  if (maxsplit === -1 || parts.length <= maxsplit) return parts;
  return [...parts.slice(0, maxsplit), parts.slice(maxsplit).join(separator)];
}

function capital(word: string): string {
  const [first = '', ...rest] = word;
  return first.toUpperCase() + rest.join('').toLowerCase();
}

function lengthOf(value: unknown): number {
  if (typeof value === 'string') return [...value].length;
  if (Array.isArray(value)) return value.length;
  if (value instanceof Map) return value.size;
  if (value === undefined) return 0;
  throw new Error(`object of type ${value === null ? 'NoneType' : typeof value} has no len()`);
}

/** Values of the library, or what is in them. */
function isEqual(a: unknown, b: unknown): boolean {
  if (Array.isArray(a)) {
    return (
      Array.isArray(b) && a.length === b.length && a.every((item: unknown, i) => isEqual(inside(item), inside(b[i])))
    );
  }
  if (a instanceof Map) {
    if (!(b instanceof Map) || a.size !== b.size) return false;
    return [...a].every(([key, item]) => b.has(key) && isEqual(inside(item), inside(b.get(key))));
  }
  // Python's True is 1.
  const [x, y] = [a, b].map((value) => (typeof value === 'boolean' ? Number(value) : value));
  return x === y;
}

function inside(value: unknown): unknown {
  return isNode(value) && 'value' in value ? value.value : value;
}

function isObjectNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null;
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && typeof (value as { type?: unknown }).type === 'string';
}
