// RoleBench exactly as released (Hugging Face dataset ZenMoore/RoleBench): paths, rows, role descriptions.
// Rows: { role, question, generated: [..] } and in role_specific files `type`, a string or one string an answer.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '../core/errors.ts';
import { readJsonFile } from '../core/files.ts';
import { isObject, type JsonObject } from '../core/json.ts';
import { describe, type ReadOptions, readRows, refuseLfsPointer, stringField, textFault, textOf } from './jsonl.ts';
import { BadRow } from './refusals.ts';
import type { Language, RoleSample, RowPlace, SampleKind } from './sample.ts';

export type RoleBenchKind = 'general' | 'role_specific';

export interface RoleBenchSettings {
  path: string;
  language: Language;
  /** Only the English half has `role`. */
  generalization: 'instruction' | 'role';
  kinds: readonly RoleBenchKind[];
}

const TYPES: readonly string[] = ['script_based', 'script_agnostic'];

/** The file of one split, e.g. rolebench-eng/instruction-generalization/general/train.jsonl. */
export function roleBenchFile(settings: RoleBenchSettings, kind: RoleBenchKind, split: string): string {
  const { path, language, generalization } = settings;
  if (language === 'zh') {
    if (generalization === 'role') {
      throw new UserError(
        'data.generalization: expected instruction with data.language zh, got role; only the English half has it.',
      );
    }
    return join(path, 'rolebench-zh', kind, `${split}.jsonl`);
  }
  return join(path, 'rolebench-eng', `${generalization}-generalization`, kind, `${split}.jsonl`);
}

export function descriptionsFile({ path, language }: RoleBenchSettings): string {
  return join(path, `profiles-${language}`, 'desc.json');
}

/**
 * Streams the rows of one file in file order. Blanks around roles, questions and answers are stripped.
 * @throws UserError for a missing file, a Git LFS pointer, or with the first bad rows
 */
export function readRoleBench(
  settings: RoleBenchSettings,
  kind: RoleBenchKind,
  split: string,
  options: ReadOptions = {},
): AsyncGenerator<RoleSample> {
  const { language } = settings;
  const parse = (object: JsonObject, place: RowPlace) => ({ ...parseRow(object, kind), language, split, ...place });
  return readRows(roleBenchFile(settings, kind, split), 'RoleBench rows', parse, options);
}

/**
 * Descriptions by role, or null when the dataset folder has none.
 * @throws UserError when desc.json is a Git LFS pointer or not one object of texts
 */
export function readDescriptions(settings: RoleBenchSettings): Map<string, string> | null {
  const path = descriptionsFile(settings);
  if (!existsSync(path)) return null;
  refuseLfsPointer(path, 'role descriptions');
  const value = readJsonFile(path, 'role descriptions');
  if (!isObject(value)) {
    throw new UserError(`${path}: expected one object of role and description, got ${describe(value)}; restore it.`);
  }
  const faultOf = (text: unknown) => (typeof text === 'string' ? textFault(text) : describe(text));
  const wrong = Object.entries(value).filter(([, text]) => faultOf(text) !== null);
  if (wrong.length > 0) {
    const roles = wrong.slice(0, 5).map(([role, text]) => `${role}: ${faultOf(text)}`);
    throw new UserError(`${path}: expected a text for each role, got ${roles.join(', ')}; correct these entries.`);
  }
  const entries = Object.entries(value).map(([role, text]): [string, string] => [role.trim(), String(text).trim()]);
  return new Map(entries.filter(([, text]) => text !== ''));
}

function parseRow(object: JsonObject, kind: RoleBenchKind) {
  const role = stringField(object, 'role').trim();
  if (role === '') throw new BadRow('expected "role" as a name, got an empty text');
  const question = stringField(object, 'question').trim();
  const answers = answersOf(object.generated);
  return { role, question, answers, kinds: kindsOf(object.type, kind, answers.length) };
}

function answersOf(value: unknown): string[] {
  if (!Array.isArray(value) || value.length === 0) {
    throw new BadRow(`expected "generated" as a list of at least one text, got ${describe(value)}`);
  }
  return value.map((answer: unknown, i) => {
    return textOf(answer, `"generated"[${i}]`).trim();
  });
}

function kindsOf(type: unknown, kind: RoleBenchKind, answers: number): SampleKind[] {
  if (kind === 'general' || type === undefined) return new Array<SampleKind>(answers).fill(kind);
  if (!Array.isArray(type)) return new Array<SampleKind>(answers).fill(kindOf(type));
  if (type.length !== answers) {
    throw new BadRow(`expected "type" as one text or one for each of ${answers} answers, got ${describe(type)}`);
  }
  return type.map(kindOf);
}

function kindOf(type: unknown): SampleKind {
  if (typeof type !== 'string' || !TYPES.includes(type)) {
    throw new BadRow(`expected "type" as ${TYPES.join(' or ')}, got ${describe(type)}`);
  }
  return type as SampleKind;
}
