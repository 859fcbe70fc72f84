// What is wrong with a config, in one line a key: `path: expected …, got …`, then the meaning of the key.
// The expectations are read from the JSON schema of the config, so that they cannot differ from what is checked.
import { distance } from 'fastest-levenshtein';
import type { z } from 'zod';
import { configJsonSchema, type JsonSchema } from './schema.ts';

type Issues = readonly z.core.$ZodIssue[];

let cachedSchema: JsonSchema | null = null;

function rootSchema(): JsonSchema {
  cachedSchema ??= configJsonSchema();
  return cachedSchema;
}

/** Dotted paths of all keys that hold a value, in the order of the schema. */
export function leafPaths(): string[] {
  return Object.entries(rootSchema().properties ?? {}).flatMap(([key, schema]) => {
    const inner = asSchema(schema).properties;
    return inner === undefined ? [key] : Object.keys(inner).map((leaf) => `${key}.${leaf}`);
  });
}

export function isLeaf(path: string): boolean {
  return leafPaths().includes(path);
}

/** Whether a path is a section, a mapping of keys. */
export function isSection(path: string): boolean {
  return leafPaths().some((leaf) => leaf.startsWith(`${path}.`));
}

/** A line for a key that does not exist, naming the nearest one. */
export function unknownKey(path: string, origin: string): string {
  return `${path} (${origin}): expected a known key, got an unknown one; did you mean ${nearestKey(path)}?`;
}

/** One line for each key that is wrong, in the order of the issues. */
export function describeIssues(issues: Issues, values: unknown, origins: ReadonlyMap<string, string>): string[] {
  const lines = new Map<string, string>();
  for (const issue of issues) {
    const path = issue.path.slice(0, 2).join('.');
    if (issue.code === 'unrecognized_keys') {
      for (const name of issue.keys) {
        const key = [...issue.path, name].join('.');
        lines.set(key, unknownKey(key, origins.get(key) ?? 'file'));
      }
    } else if (!lines.has(path)) {
      lines.set(path, describeIssue(issue, path, values, origins));
    }
  }
  return [...lines.values()];
}

function describeIssue(
  issue: Issues[number],
  path: string,
  values: unknown,
  origins: ReadonlyMap<string, string>,
): string {
  const origin = origins.get(path) ?? 'file';
  if (issue.code === 'custom') return `${path} (${origin}): ${issue.message}`;
  const schema = schemaAt(path);
  const got = shorten(JSON.stringify(valueAt(values, issue.path.slice(0, 2))) ?? 'nothing');
  return `${path} (${origin}): expected ${describeSchema(schema)}, got ${got}. ${schema.description ?? path}.`;
}

/** A schema in words: `an integer >= 1 or null`. */
function describeSchema(schema: JsonSchema): string {
  if (schema.anyOf !== undefined) return schema.anyOf.map((one) => describeSchema(asSchema(one))).join(' or ');
  if (schema.const !== undefined) return String(schema.const);
  if (schema.enum !== undefined) return schema.enum.join(' | ');
  switch (schema.type) {
    case 'null':
      return 'null';
    case 'string':
      return schema.format === 'date' ? 'a day as YYYY-MM-DD' : 'a text';
    case 'boolean':
      return 'true | false';
    case 'integer':
    case 'number':
      return describeNumber(schema);
    case 'array':
      return describeList(schema);
    default:
      return 'a mapping of keys';
  }
}

function describeNumber(schema: JsonSchema): string {
  const bounds = [
    schema.minimum === undefined ? '' : `>= ${schema.minimum}`,
    schema.exclusiveMinimum === undefined ? '' : `> ${schema.exclusiveMinimum}`,
    schema.maximum === undefined || schema.maximum === Number.MAX_SAFE_INTEGER ? '' : `<= ${schema.maximum}`,
    schema.exclusiveMaximum === undefined ? '' : `< ${schema.exclusiveMaximum}`,
  ].filter((bound) => bound !== '');
  return [schema.type === 'integer' ? 'an integer' : 'a number', bounds.join(' and ')].join(' ').trim();
}

function describeList(schema: JsonSchema): string {
  const fixed = schema.prefixItems;
  if (fixed !== undefined) return `a list of ${fixed.length}, each ${describeSchema(asSchema(fixed[0] ?? {}))}`;
  const items = Array.isArray(schema.items) ? {} : asSchema(schema.items ?? {});
  return `a list of at least ${schema.minItems ?? 0}, each ${describeSchema(items)}`;
}

function schemaAt(path: string): JsonSchema {
  return path.split('.').reduce<JsonSchema>((schema, key) => asSchema(schema.properties?.[key] ?? {}), rootSchema());
}

function asSchema(schema: JsonSchema | boolean): JsonSchema {
  return typeof schema === 'boolean' ? {} : schema;
}

function valueAt(values: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (value, key) => (typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined),
    values,
  );
}

/** The key that a reader most likely meant: near in spelling, in the same section when there is one. */
function nearestKey(path: string): string {
  const parts = path.split('.');
  const name = parts.at(-1) ?? path;
  const sections = Object.keys(rootSchema().properties ?? {});
  const home = parts.length > 1 && sections.includes(parts[0] ?? '') ? parts[0] : null;
  const candidates = parts.length > 1 ? leafPaths() : [...sections, ...leafPaths()];
  const scored = candidates.map((key) => {
    const [section, leaf] = key.split('.');
    const elsewhere = home !== null && section !== home ? 0.5 : 0;
    return { key, score: difference(name, leaf ?? key) + elsewhere };
  });
  return scored.reduce((best, one) => (one.score < best.score ? one : best)).key;
}

/** Between 0 (the same name) and 1: edits by length; a name's initials or one of its words count as near. */
function difference(name: string, key: string): number {
  const words = key.split('_');
  const initials = words.length > 1 ? words.map((word) => word[0]).join('') : null;
  const edits = distance(name, key) / Math.max(name.length, key.length);
  return name === initials || words.includes(name) ? Math.min(0.3, edits) : edits;
}

function shorten(text: string): string {
  return text.length <= 80 ? text : `${text.slice(0, 77)}...`;
}
