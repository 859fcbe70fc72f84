// The rows of a run as conversations, whatever the source: RoleBench or chat rows. Knows which files a split is made of.
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '../core/errors.ts';
import { requireFile } from '../core/files.ts';
import { readChatJsonl } from './chat_jsonl.ts';
import { type ReadOptions, refuseLfsPointer } from './jsonl.ts';
import {
  descriptionsFile,
  type RoleBenchKind,
  type RoleBenchSettings,
  readDescriptions,
  readRoleBench,
  roleBenchFile,
} from './rolebench.ts';
import type { ChatMessage, Conversation, RoleSample } from './sample.ts';
import { fillSystemInstruction, type PromptTemplate } from './templates.ts';

export interface SourceSettings extends RoleBenchSettings {
  source: 'rolebench' | 'chat_jsonl';
  answers: 'all' | 'first';
}

export interface DataSource {
  /** The data files of a split, in reading order. */
  files(split: string): string[];
  /** Files besides the splits that the prompts depend on. */
  extraFiles: string[];
  /** The conversations of a split in file order. */
  conversations(split: string, options?: ReadOptions): AsyncGenerator<Conversation>;
  /** Roles met so far, and those of them without a description. */
  roles(): { all: number; without_description: number };
  /** Keys of the rows read so far that nothing reads. */
  ignoredKeys(): string[];
}

/** @throws UserError when role descriptions are there but cannot be read */
export function openSource(settings: SourceSettings, template: PromptTemplate): DataSource {
  return settings.source === 'rolebench' ? roleBenchSource(settings, template) : chatSource(settings);
}

/** The messages that ask one question of one role, as training has them. */
export function roleMessages(
  template: PromptTemplate,
  role: string,
  description: string | null,
  question: string,
): ChatMessage[] {
  return [
    { role: 'system', content: fillSystemInstruction(template, role, description) },
    { role: 'user', content: question },
  ];
}

function roleBenchSource(settings: SourceSettings, template: PromptTemplate): DataSource {
  const descriptions = readDescriptions(settings);
  const descriptionsPath = descriptionsFile(settings);
  const met = new Set<string>();
  const fileOf = (kind: RoleBenchKind, split: string) => roleBenchFile(settings, kind, split);

  async function* conversations(split: string, options?: ReadOptions): AsyncGenerator<Conversation> {
    for (const kind of settings.kinds) {
      for await (const sample of readRoleBench(settings, kind, split, options)) {
        met.add(sample.role);
        const description = descriptions?.get(sample.role) ?? null;
        const prompt = roleMessages(template, sample.role, description, sample.question);
        yield* ofSample(sample, prompt, settings.answers);
      }
    }
  }

  return {
    files: (split) => requireFiles(settings.kinds.map((kind) => fileOf(kind, split))),
    extraFiles: existsSync(descriptionsPath) ? [descriptionsPath] : [],
    conversations,
    roles: () => {
      const without = [...met].filter((role) => !descriptions?.has(role));
      return { all: met.size, without_description: without.length };
    },
    ignoredKeys: () => [],
  };
}

function* ofSample(sample: RoleSample, prompt: ChatMessage[], answers: 'all' | 'first'): Generator<Conversation> {
  const { role, question, row, file } = sample;
  const place = sample.line === undefined ? { file, row } : { file, row, line: sample.line };
  const count = answers === 'all' ? sample.answers.length : 1;
  for (let answer_index = 0; answer_index < count; answer_index++) {
    const content = sample.answers[answer_index] ?? '';
    const messages: ChatMessage[] = [...prompt, { role: 'assistant', content }];
    yield { role, question, messages, answer_index, ...place };
  }
}

function chatSource({ path }: SourceSettings): DataSource {
  const met = new Set<string>();
  const ignored = new Set<string>();
  const isFile = statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
  const fileOf = (split: string) => (isFile ? path : chatFile(path, split));
  return {
    files: (split) => requireFiles([fileOf(split)]),
    extraFiles: [],
    async *conversations(split, options) {
      const onIgnoredKey = (key: string) => ignored.add(key);
      for await (const conversation of readChatJsonl(fileOf(split), { ...options, onIgnoredKey })) {
        met.add(conversation.role);
        yield conversation;
      }
    },
    // A chat row carries its own instruction, so no role lacks one.
    roles: () => ({ all: met.size, without_description: 0 }),
    ignoredKeys: () => [...ignored].sort(),
  };
}

/** The file of a split: JSON Lines, or a list. */
function chatFile(folder: string, split: string): string {
  const [lines, list] = [join(folder, `${split}.jsonl`), join(folder, `${split}.json`)];
  if (!existsSync(list)) return lines;
  if (!existsSync(lines)) return list;
  throw new UserError(`${folder}: expected ${split}.jsonl or ${split}.json, got both; leave the one that counts.`);
}

function requireFiles(paths: string[]): string[] {
  for (const path of paths) refuseLfsPointer(path, 'data rows');
  return paths;
}

/** @throws UserError when one file is to be both splits */
export function checkSingleFile({ source, path }: SourceSettings, evalSplit: string | null): void {
  if (source !== 'chat_jsonl' || evalSplit === null) return;
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) return;
  requireFile(path, 'a folder of chat rows, or a file of them');
  throw new UserError(
    `data.eval_split: expected null where data.path is one file (${path}), got ${evalSplit}; ` +
      'set data.eval_split=null data.eval_fraction=0.05, or give a folder with one file a split.',
  );
}
