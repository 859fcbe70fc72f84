// Whether a chat template looks at the contents of messages. It does not where every content is only joined to other
// text and written out, whole or stripped; then the template can be rendered once for a sequence of roles. Found on the
// parsed template: values are clean, a content, or hold messages, and what is not known to be harmless counts as a look.
import type { Template } from '@huggingface/jinja';

type Kind = 'clean' | 'content' | 'holder';

/** A node of the parsed template, as far as it is read here. */
interface Node {
  type: string;
  [field: string]: unknown;
}

class Looks extends Error {}

/** Tests that see the type of a value and not the value; contents are always texts. */
const TYPE_TESTS = ['defined', 'undefined', 'none', 'string', 'mapping', 'iterable', 'sequence', 'number', 'boolean'];
const MESSAGE_FILTERS = ['list', 'first', 'last', 'selectattr', 'rejectattr'];
/** Python's methods of a dict would see all of a message. */
const DICT_METHODS = ['get', 'items', 'keys', 'values', 'copy', 'pop', 'update', 'setdefault'];

/** @param program a parsed template, with the conversation in the variable `messages` */
export function looksAtContents(program: Template['parsed']): boolean {
  const kinds = new Map<string, Kind>([['messages', 'holder']]);
  try {
    // A variable may be used above the line that sets it, in the next turn of a loop.
    for (let before = -1; before !== kinds.size; ) {
      before = kinds.size;
      statements(list(program.body), kinds);
    }
    return false;
  } catch (error) {
    if (error instanceof Looks) return true;
    throw error;
  }
}

function statements(nodes: readonly Node[], kinds: Map<string, Kind>): Kind {
  return nodes.reduce<Kind>((all, node) => union(all, statement(node, kinds)), 'clean');
}

/** What a statement writes. */
function statement(node: Node, kinds: Map<string, Kind>): Kind {
  switch (node.type) {
    case 'If':
      clean(child(node, 'test'), kinds);
      return union(statements(list(node.body), kinds), statements(list(node.alternate), kinds));
    case 'For': {
      const over = loopOver(node, kinds);
      if (over === 'content') throw new Looks();
      return union(statements(list(node.body), kinds), statements(list(node.defaultBlock), kinds));
    }
    case 'Set': {
      const { value } = node;
      const kind = isNode(value) ? expression(value, kinds) : statements(list(node.body), kinds);
      assign(child(node, 'assignee'), kind, kinds);
      return 'clean';
    }
    case 'Macro':
    case 'FilterStatement':
    case 'CallStatement':
      // Defaults of arguments, the filter and its arguments, the call.
      for (const part of [...list(node.args), ...list(node.callerArgs), node.call, node.filter].filter(isNode))
        clean(part, kinds);
      if (statements(list(node.body), kinds) !== 'clean') throw new Looks();
      return 'clean';
    case 'Break':
    case 'Continue':
    case 'Comment':
      return 'clean';
    default: {
      const kind = expression(node, kinds);
      if (kind === 'holder') throw new Looks();
      return kind;
    }
  }
}

/** The kind of what a loop runs over; its variable is known before a condition on it is read. */
function loopOver(node: Node, kinds: Map<string, Kind>): Kind {
  const iterable = child(node, 'iterable');
  const isSelect = iterable.type === 'SelectExpression';
  const kind = expression(isSelect ? child(iterable, 'lhs') : iterable, kinds);
  assign(child(node, 'loopvar'), kind, kinds);
  if (isSelect) clean(child(iterable, 'test'), kinds);
  return kind;
}

function assign(target: Node, kind: Kind, kinds: Map<string, Kind>): void {
  const name = nameOf(target);
  if (name === null) {
    if (kind !== 'clean') throw new Looks();
    return;
  }
  if (kind === 'clean') return;
  const known = kinds.get(name);
  if (known !== undefined && known !== kind) throw new Looks();
  kinds.set(name, kind);
}

/** `name`, or `name.field` of a namespace, however the field is written. */
function nameOf(node: Node): string | null {
  if (node.type === 'Identifier') return String(node.value);
  if (node.type !== 'MemberExpression') return null;
  const [object, property] = [child(node, 'object'), child(node, 'property')];
  const isField = node.computed === true ? property.type === 'StringLiteral' : property.type === 'Identifier';
  return object.type === 'Identifier' && isField ? `${object.value}.${property.value}` : null;
}

/** Whether a namespace has a field that is more than clean: used as a whole, nobody could follow it. */
function holdsContent(name: string, kinds: ReadonlyMap<string, Kind>): boolean {
  return [...kinds.keys()].some((key) => key.startsWith(`${name}.`));
}

function expression(node: Node, kinds: Map<string, Kind>): Kind {
  switch (node.type) {
    case 'Identifier':
      if (holdsContent(String(node.value), kinds)) throw new Looks();
      return kinds.get(String(node.value)) ?? 'clean';
    case 'MemberExpression':
      return member(node, kinds);
    case 'CallExpression':
      return call(node, kinds);
    case 'FilterExpression':
      return filter(node, kinds);
    case 'TestExpression': {
      const kind = expression(child(node, 'operand'), kinds);
      if (kind !== 'clean' && !TYPE_TESTS.includes(String(child(node, 'test').value))) throw new Looks();
      return 'clean';
    }
    case 'SelectExpression':
      clean(child(node, 'test'), kinds);
      return expression(child(node, 'lhs'), kinds);
    case 'Ternary':
      clean(child(node, 'condition'), kinds);
      return union(expression(child(node, 'trueExpr'), kinds), expression(child(node, 'falseExpr'), kinds));
    case 'BinaryExpression':
      return binary(node, kinds);
    default:
      for (const part of parts(node)) clean(part, kinds);
      return 'clean';
  }
}

function member(node: Node, kinds: Map<string, Kind>): Kind {
  const [object, property] = [child(node, 'object'), child(node, 'property')];
  const name = nameOf(node);
  // A field of a namespace, which is no use of the namespace as a whole.
  if (name !== null && holdsContent(String(object.value), kinds)) return kinds.get(name) ?? 'clean';
  const kind = expression(object, kinds);
  const literal = node.computed !== true || property.type === 'StringLiteral' ? String(property.value) : null;
  if (kind === 'content') throw new Looks();
  if (kind === 'clean') {
    if (literal === 'previtem' || literal === 'nextitem') return 'holder';
    if (node.computed === true) clean(property, kinds);
    return 'clean';
  }
  if (literal === 'content') return 'content';
  if (literal !== null) {
    if (DICT_METHODS.includes(literal)) throw new Looks();
    return 'clean';
  }
  clean(property, kinds);
  if (!isIndex(property)) throw new Looks();
  return 'holder';
}

/** An expression that can only be a number or a slice, never the name of a field. */
function isIndex(node: Node): boolean {
  switch (node.type) {
    case 'IntegerLiteral':
    case 'SliceExpression':
      return true;
    case 'UnaryExpression':
      return isIndex(child(node, 'argument'));
    case 'MemberExpression':
      return ['loop.index', 'loop.index0', 'loop.length'].includes(nameOf(node) ?? '');
    case 'BinaryExpression': {
      const [left, right] = [child(node, 'left'), child(node, 'right')];
      const operator = operatorOf(node);
      return operator === '-' || (operator === '+' && (isIndex(left) || isIndex(right)));
    }
    case 'FilterExpression':
      return child(node, 'filter').value === 'length';
    default:
      return false;
  }
}

/** `.strip()` keeps a content what it is; any other call must not see one. */
function call(node: Node, kinds: Map<string, Kind>): Kind {
  const callee = child(node, 'callee');
  const args = list(node.args);
  if (callee.type === 'MemberExpression' && callee.computed !== true) {
    const kind = expression(child(callee, 'object'), kinds);
    if (kind === 'content' && child(callee, 'property').value === 'strip' && args.length === 0) return 'content';
  }
  clean(callee, kinds);
  // A namespace is told its fields as keyword arguments; reading them looks them up by this name.
  for (const arg of args) clean(arg, kinds);
  return 'clean';
}

function filter(node: Node, kinds: Map<string, Kind>): Kind {
  const kind = expression(child(node, 'operand'), kinds);
  const used = child(node, 'filter');
  const name = String((used.type === 'CallExpression' ? child(used, 'callee') : used).value);
  const args = list(used.args);
  for (const arg of args) clean(arg, kinds);
  if (kind === 'clean') return 'clean';
  if (kind === 'content') {
    if (args.length === 0 && (name === 'trim' || name === 'string')) return 'content';
    throw new Looks();
  }
  if (name === 'length' || name === 'count') return 'clean';
  if (!MESSAGE_FILTERS.includes(name)) throw new Looks();
  const [attribute] = args;
  if (attribute !== undefined && (attribute.type !== 'StringLiteral' || attribute.value === 'content'))
    throw new Looks();
  return name === 'selectattr' || name === 'rejectattr' || args.length === 0 ? 'holder' : 'clean';
}

function binary(node: Node, kinds: Map<string, Kind>): Kind {
  const operator = operatorOf(node);
  const left = expression(child(node, 'left'), kinds);
  const right = expression(child(node, 'right'), kinds);
  if (left === 'clean' && right === 'clean') return 'clean';
  if ((operator === '+' || operator === '~') && left !== 'holder' && right !== 'holder') return 'content';
  if ((operator === 'in' || operator === 'not in') && left === 'clean' && right === 'holder') return 'clean';
  throw new Looks();
}

function clean(node: Node, kinds: Map<string, Kind>): void {
  if (expression(node, kinds) !== 'clean') throw new Looks();
}

function union(a: Kind, b: Kind): Kind {
  if (a === b || b === 'clean') return a;
  if (a === 'clean') return b;
  throw new Looks();
}

function operatorOf(node: Node): string {
  return String((node.operator as { value?: unknown }).value);
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && typeof (value as { type?: unknown }).type === 'string';
}

function child(node: Node, field: string): Node {
  const { [field]: value } = node;
  if (!isNode(value)) throw new Looks();
  return value;
}

function list(value: unknown): Node[] {
  return Array.isArray(value) ? value.filter(isNode) : [];
}

/** The expressions inside a literal, a slice, an argument or an operator. */
function parts(node: Node): Node[] {
  return Object.entries(node).flatMap(([field, value]) => {
    if (field === 'operator') return [];
    if (value instanceof Map) return [...value].flat().filter(isNode);
    return Array.isArray(value) ? list(value) : isNode(value) ? [value] : [];
  });
}
