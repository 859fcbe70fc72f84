// The source tree as data: files, imports, functions, forbidden calls, head comments. Parsed with TypeScript itself.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import ts from 'typescript';
import { inRepository } from './paths.ts';

export interface SourceFile {
  /** From the checkout's root, e.g. src/core/rng.ts. */
  path: string;
  text: string;
  /** src paths of relative imports, names of packages for others; dynamic imports and type imports too. */
  imports: { target: string; isPackage: boolean; isLazy: boolean }[];
  functions: { name: string; line: number; lines: number }[];
  /** Calls and casts the house forbids somewhere, e.g. Math.random. */
  marks: { what: string; line: number }[];
}

/** All files below a folder of the checkout, sorted, without ignored and hidden folders. */
export function filesBelow(folder: string): string[] {
  const entries = readdirSync(inRepository(folder), { withFileTypes: true, recursive: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(inRepository('').length))
    .filter((path) => !/(^|\/)(node_modules|__pycache__|goldens|\.[^/]+)\//.test(path))
    .sort();
}

/** The parsed TypeScript files below a folder. */
export function sourcesBelow(folder: string): SourceFile[] {
  return filesBelow(folder)
    .filter((path) => path.endsWith('.ts'))
    .map(parse);
}

function parse(path: string): SourceFile {
  const text = readFileSync(inRepository(path), 'utf8');
  const tree = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
  const file: SourceFile = { path, text, imports: [], functions: [], marks: [] };
  const lineOf = (position: number) => tree.getLineAndCharacterOfPosition(position).line + 1;
  const visit = (node: ts.Node): void => {
    const specifier = importOf(node);
    if (specifier !== null) file.imports.push(resolve(path, specifier.text, specifier.isLazy));
    if (isFunctionWithBody(node)) {
      const line = lineOf(node.getStart());
      file.functions.push({ name: nameOf(node), line, lines: lineOf(node.end) - line + 1 });
    }
    const what = markOf(node);
    if (what !== null) file.marks.push({ what, line: lineOf(node.getStart()) });
    ts.forEachChild(node, visit);
  };
  visit(tree);
  return file;
}

function importOf(node: ts.Node): { text: string; isLazy: boolean } | null {
  if ((ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) && node.moduleSpecifier !== undefined) {
    return ts.isStringLiteral(node.moduleSpecifier) ? { text: node.moduleSpecifier.text, isLazy: false } : null;
  }
  const isCall = ts.isCallExpression(node) && node.arguments.length === 1;
  const argument = isCall ? node.arguments[0] : undefined;
  if (!isCall || argument === undefined || !ts.isStringLiteralLike(argument)) return null;
  const callee = node.expression;
  const isRequire = ts.isIdentifier(callee) && callee.text === 'require';
  return callee.kind === ts.SyntaxKind.ImportKeyword || isRequire ? { text: argument.text, isLazy: true } : null;
}

function resolve(path: string, specifier: string, isLazy: boolean): SourceFile['imports'][number] {
  if (specifier.startsWith('.')) return { target: normalize(join(dirname(path), specifier)), isPackage: false, isLazy };
  const parts = specifier.split('/');
  const target = specifier.startsWith('@') ? parts.slice(0, 2).join('/') : (parts[0] ?? specifier);
  return { target, isPackage: true, isLazy };
}

type FunctionNode =
  | ts.FunctionDeclaration
  | ts.FunctionExpression
  | ts.ArrowFunction
  | ts.MethodDeclaration
  | ts.ConstructorDeclaration;

function isFunctionWithBody(node: ts.Node): node is FunctionNode {
  const isFunction =
    ts.isFunctionDeclaration(node) ||
    ts.isFunctionExpression(node) ||
    ts.isArrowFunction(node) ||
    ts.isMethodDeclaration(node) ||
    ts.isConstructorDeclaration(node);
  return isFunction && node.body !== undefined;
}

function nameOf(node: FunctionNode): string {
  if (ts.isConstructorDeclaration(node)) return 'constructor';
  if (node.name !== undefined) return node.name.getText();
  const parent = node.parent;
  return ts.isVariableDeclaration(parent) || ts.isPropertyAssignment(parent) ? parent.name.getText() : 'a function';
}

function markOf(node: ts.Node): string | null {
  if (ts.isPropertyAccessExpression(node) && /^(Math\.random|Date\.now)$/.test(node.getText())) return node.getText();
  if (ts.isNewExpression(node) && node.expression.getText() === 'Date') return 'new Date';
  if (node.kind === ts.SyntaxKind.AnyKeyword) return 'any';
  const inner = ts.isAsExpression(node) ? node.expression : null;
  if (inner !== null && ts.isAsExpression(inner) && inner.type.kind === ts.SyntaxKind.UnknownKeyword)
    return 'as unknown as';
  const isNamespace = ts.isModuleDeclaration(node) && ts.isIdentifier(node.name);
  return ts.isEnumDeclaration(node) || isNamespace ? 'enum or namespace' : null;
}

/** The first sentence of the comment at the head of a file; null where there is none. */
export function headSentence(text: string): string | null {
  const lines = text.split('\n').filter((line, i) => !(i === 0 && line.startsWith('#!')));
  const head = lines.slice(
    0,
    lines.findIndex((line) => !line.startsWith('//')),
  );
  const comment = head.map((line) => line.replace(/^\/\/\s?/, '')).join(' ');
  return comment === '' ? null : comment.replace(/[.;]\s.*$/, '').replace(/\.$/, '');
}
