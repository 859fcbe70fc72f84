// The tree of src as ARCHITECTURE.md prints it: a folder or file a line, the remark from the file's own head comment.
import { headSentence, type SourceFile } from './sources.ts';

const FENCE = /```text\nsrc\n[\s\S]*?```/;
const REMARK_COLUMN = 30;
const MAX_REMARK = 100;

/** The lines of the tree, without the fence. */
export function architectureTree(files: readonly SourceFile[]): string {
  const lines = ['src'];
  const folders = new Set(['src']);
  for (const { path, text } of [...files].sort(foldersLast)) {
    const parts = path.split('/');
    for (let depth = 1; depth < parts.length - 1; depth++) {
      const folder = parts.slice(0, depth + 1).join('/');
      if (!folders.has(folder)) lines.push(`${'  '.repeat(depth)}${parts[depth]}/`);
      folders.add(folder);
    }
    const name = `${'  '.repeat(parts.length - 1)}${parts.at(-1)}`;
    lines.push(`${name.padEnd(REMARK_COLUMN - 1)} ${shorten(headSentence(text) ?? '')}`);
  }
  return lines.join('\n');
}

/** A document with its printed tree replaced. */
export function withTree(document: string, tree: string): string {
  if (!FENCE.test(document)) throw new Error('expected a ```text block that begins with the line src');
  return document.replace(FENCE, () => `\`\`\`text\n${tree}\n\`\`\``);
}

/** Files of a folder before its subfolders, names in order. */
function foldersLast(a: SourceFile, b: SourceFile): number {
  return sortKey(a.path) < sortKey(b.path) ? -1 : 1;
}

function sortKey(path: string): string {
  const parts = path.split('/');
  return parts.map((part, i) => (i === parts.length - 1 ? ` ${part}` : part)).join('/');
}

function shorten(remark: string): string {
  return remark.length <= MAX_REMARK ? remark : `${remark.slice(0, remark.lastIndexOf(' ', MAX_REMARK - 2))} …`;
}
