// The prompt template that belongs to an adapter.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type PromptTemplate, readPromptTemplate } from '../data/templates.ts';

const TEMPLATE = 'prompt_template.json';

/** The template an adapter was trained with, or null where its folder holds none, as those of other tools. */
export function adapterTemplate(folder: string | null): PromptTemplate | null {
  if (folder === null || !existsSync(join(folder, TEMPLATE))) return null;
  return readPromptTemplate(join(folder, TEMPLATE));
}

/** How two templates differ, in a few words, or null when they are the same. */
export function templateDifference(a: PromptTemplate, b: PromptTemplate): string | null {
  if (JSON.stringify(a) === JSON.stringify(b)) return null;
  if (a.name !== b.name) return `${a.name} and ${b.name}`;
  if (a.language !== b.language) return `${a.name} in ${a.language} and in ${b.language}`;
  return `two versions of ${a.name}`;
}
