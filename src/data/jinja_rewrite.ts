// Rewrites a parsed Jinja template so that it does what Python's Jinja would: operators, filters and methods which the
// JavaScript library has otherwise become calls of jinja_python.ts, everything that is written goes through one function
// (a loop then keeps what it wrote before `continue`), and variables that a block sets end with it. What is known to
// differ and is not rewritten is refused. Not covered: chained comparisons, the scope of macros, reading a field of
// something undefined (an error in Python).

interface Node {
  type: string;
  [field: string]: unknown;
}

const METHODS = ['strip', 'lstrip', 'rstrip', 'split', 'title', 'capitalize'];
const FILTERS = ['trim', 'length', 'count', 'title', 'capitalize', 'join', 'default', 'd', 'string'];
const OPERATORS = ['==', '!=', '~', '%', 'in', 'not in'];
const REFUSED_FILTERS = ['unique'];
const REFUSED_TESTS = ['upper', 'lower'];

/** Rewrites the parsed template in place. @throws Error for what cannot be as in Python */
export function asPython(program: { body: object[] }): void {
  rewriteFields(program.body);
  program.body = writing(withScopes(list(program.body), { count: 0 }));
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
  } else if (typeof node === 'object' && node !== null) {
    const fields = node as Node;
    for (const [field, value] of Object.entries(fields)) if (field !== 'operator') fields[field] = rewritten(value);
  }
}

function rewritten(value: unknown): unknown {
  rewriteFields(value);
  if (!isNode(value)) return value;
  switch (value.type) {
    case 'BinaryExpression': {
      const { value: operator } = value.operator as { value: string };
      return OPERATORS.includes(operator) ? call(operator, [value.left, value.right]) : value;
    }
    case 'CallExpression':
      return methodCall(value);
    case 'FilterExpression':
      return filter(value);
    case 'MemberExpression':
      return value.computed === true && isInteger(value.property)
        ? call('item', [value.object, value.property])
        : value;
    case 'For':
      return { ...value, iterable: iterated(value.iterable) };
    case 'TestExpression':
      if (isNode(value.test)) refuse(REFUSED_TESTS, String(value.test.value), 'the test');
      return value;
    default:
      return value;
  }
}

function isInteger(node: unknown): boolean {
  if (!isNode(node)) return false;
  return node.type === 'IntegerLiteral' || (node.type === 'UnaryExpression' && isInteger(node.argument));
}

/** Python runs over the characters of a text, and not at all over what is undefined. */
function iterated(node: unknown): unknown {
  if (isNode(node) && node.type === 'SelectExpression') return { ...node, lhs: call('iter', [node.lhs]) };
  return call('iter', [node]);
}

function methodCall(node: Node): Node {
  const { callee, args } = node;
  if (!isNode(callee) || callee.type !== 'MemberExpression' || callee.computed === true) return node;
  const { property, object } = callee;
  const name = isNode(property) ? String(property.value) : '';
  return METHODS.includes(name) ? call(name, [object, ...(args as unknown[])]) : node;
}

function filter(node: Node): Node {
  const { filter: used, operand } = node;
  if (!isNode(used)) return node;
  const args = Array.isArray(used.args) ? used.args : [];
  const callee = used.type === 'CallExpression' ? used.callee : used;
  const name = isNode(callee) ? String(callee.value) : '';
  refuse(REFUSED_FILTERS, name, 'the filter');
  if (FILTERS.includes(name)) return call(`|${name}`, [operand, ...args]);
  const [attribute, test] = args as { value?: unknown }[];
  // The library takes what is missing for no match, whatever the test.
  if ((name === 'selectattr' || name === 'rejectattr') && test?.value === 'undefined') {
    const opposite = { type: 'Identifier', value: name === 'selectattr' ? 'rejectattr' : 'selectattr' };
    const defined = { type: 'StringLiteral', value: 'defined' };
    return { ...node, filter: { type: 'CallExpression', callee: opposite, args: [attribute, defined] } };
  }
  return node;
}

function refuse(names: readonly string[], name: string, what: string): void {
  if (names.includes(name)) throw new Error(`${what} ${name}, which is not the same here as in Python`);
}

/** Statements that write through `python write`. */
function writing(statements: readonly Node[]): Node[] {
  return statements.map((node) => {
    switch (node.type) {
      case 'If':
        return { ...node, body: writing(list(node.body)), alternate: writing(list(node.alternate)) };
      case 'For':
        return { ...node, body: writing(list(node.body)), defaultBlock: writing(list(node.defaultBlock)) };
      case 'Macro':
        return { ...node, body: collected(list(node.body)) };
      case 'Set':
        return isNode(node.value) ? node : { ...node, body: collected(list(node.body)) };
      case 'FilterStatement':
      case 'CallStatement':
        return call('write', [{ ...node, body: collected(list(node.body)) }]);
      case 'Break':
      case 'Continue':
      case 'Comment':
        return node;
      default:
        return call('write', [node]);
    }
  });
}

/** A body whose text another statement takes up: written into a place of its own, which it gives at its end. */
function collected(statements: readonly Node[]): Node[] {
  if (statements.some(leaves)) throw new Error('break or continue inside a block whose text is taken up');
  return [call('open', []), ...writing(statements), call('close', [])];
}

/** Whether a statement may leave the loop around it. */
function leaves(node: Node): boolean {
  if (node.type === 'Break' || node.type === 'Continue') return true;
  return node.type === 'If' && [...list(node.body), ...list(node.alternate)].some(leaves);
}

/** Blocks that begin with the variables from outside, whatever an earlier turn has set, and leave those as they were. */
function withScopes(statements: readonly Node[], numbers: { count: number }): Node[] {
  return statements.flatMap((node): Node[] => {
    const blocks = Object.entries(node).map(([field, value]): [string, unknown] => [
      field,
      ['body', 'alternate', 'defaultBlock'].includes(field) ? withScopes(list(value), numbers) : value,
    ]);
    const inner = { ...Object.fromEntries(blocks), type: node.type } as Node;
    const isBlock = node.type === 'FilterStatement' || (node.type === 'Set' && !isNode(node.value));
    if (node.type !== 'For' && !isBlock) return [inner];
    const own = targetsOf(node.type === 'For' ? node.loopvar : node.assignee);
    const names = [...new Set(variablesSet(list(node.body)))].filter((name) => !own.includes(name));
    const number = numbers.count++;
    const keep = names.map((name) => set(`python ${number} ${name}`, name));
    const restore = names.map((name) => set(name, `python ${number} ${name}`));
    if (node.type === 'For') return [...keep, { ...inner, body: [...restore, ...list(inner.body)] }];
    return [...keep, inner, ...restore];
  });
}

/** Variables that the statements of a block set; those of blocks inside it are gone with them. */
function variablesSet(statements: readonly Node[]): string[] {
  return statements.flatMap((node) => {
    if (node.type === 'Set') return targetsOf(node.assignee);
    return node.type === 'If' ? variablesSet([...list(node.body), ...list(node.alternate)]) : [];
  });
}

function targetsOf(target: unknown): string[] {
  if (!isNode(target)) return [];
  const targets = target.type === 'TupleLiteral' ? list(target.value) : [target];
  return targets.flatMap(({ type, value }) => (type === 'Identifier' ? [String(value)] : []));
}

function set(name: string, from: string): Node {
  const identifier = (value: string) => ({ type: 'Identifier', value });
  return { type: 'Set', assignee: identifier(name), value: identifier(from), body: [] };
}

function call(name: string, args: unknown[]): Node {
  return { type: 'CallExpression', callee: { type: 'Identifier', value: `python ${name}` }, args };
}

function list(value: unknown): Node[] {
  return Array.isArray(value) ? value.filter(isNode) : [];
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && typeof (value as { type?: unknown }).type === 'string';
}
