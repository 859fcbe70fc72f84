// A config from a YAML file and `key=value` overrides: reading, merging, where each value came from.
// What is wrong with the values is told by mistakes.ts; the keys themselves stand in schema.ts.
import { LineCounter, parseDocument } from 'yaml';
import { UserError } from '../core/errors.ts';
import { expandHome, readTextFile } from '../core/files.ts';
import { describeIssues, isLeaf, isSection, leafPaths, unknownKey } from './mistakes.ts';
import { type Config, configSchema } from './schema.ts';
import { configText } from './text.ts';

/** `adapter`: taken from the adapter that a run starts from. */
export type Origin = 'default' | 'file' | 'command line' | 'adapter';
/** Dotted path of a leaf → where its value came from. Holds every leaf of the schema. */
export type Origins = Map<string, Origin>;

export interface LoadedConfig {
  config: Config;
  origins: Origins;
  /** The resolved config as YAML; values that are not defaults carry their origin as a comment. */
  text: string;
}

/** Nested plain values as YAML gives them, and the leaves (known or not) that were given a value. */
type Values = Record<string, unknown>;

/**
 * Reads a config file and applies overrides, `dotted.key=value` with the value read as YAML; later ones win.
 * @throws UserError that lists every wrong key at once, with what was expected, what came and, for an unknown key, the nearest.
 */
export function loadConfig(path: string, overrides: readonly string[] = []): LoadedConfig {
  const values = readConfigFile(expandHome(path));
  const origins: Origins = new Map(leafPaths().map((leaf) => [leaf, 'default']));
  for (const leaf of givenLeaves(values)) origins.set(leaf, 'file');
  const mistakes: string[] = [];
  for (const override of overrides) {
    const { key, value } = readOverride(override);
    if (!isLeaf(key) && !isSection(key)) {
      mistakes.push(unknownKey(key, 'command line'));
      continue;
    }
    for (const leaf of setValue(values, key, value)) origins.set(leaf, 'command line');
  }
  const parsed = configSchema.safeParse(values);
  if (!parsed.success) mistakes.unshift(...describeIssues(parsed.error.issues, values, origins));
  if (mistakes.length > 0 || !parsed.success) throw new UserError(listMistakes(path, mistakes));
  const config = withHome(parsed.data);
  return { config, origins, text: configText(config, origins) };
}

/** `~/` at the start of a path is the home folder, as in a shell. */
function withHome(config: Config): Config {
  const { model, data, output_dir } = config;
  return {
    ...config,
    model: {
      ...model,
      base: expandHome(model.base),
      adapter: model.adapter === null ? null : expandHome(model.adapter),
    },
    data: { ...data, path: expandHome(data.path) },
    output_dir: expandHome(output_dir),
  };
}

function listMistakes(path: string, mistakes: string[]): string {
  const count = mistakes.length === 1 ? 'a mistake' : `${mistakes.length} mistakes`;
  return [`${path}: expected a valid config, got ${count}; \`rocit schema\` lists every key.`, ...mistakes].join(
    '\n  ',
  );
}

/** The file's mapping. Sections that are written without any key count as empty. */
function readConfigFile(path: string): Values {
  const lines = new LineCounter();
  const document = parseDocument(readTextFile(path, 'a config file'), { lineCounter: lines, prettyErrors: false });
  const problem = document.errors[0] ?? document.warnings[0];
  if (problem !== undefined) {
    const { line, col } = lines.linePos(problem.pos[0]);
    throw new UserError(
      `${path}:${line}:${col}: expected YAML, got text that does not parse (${firstLine(problem.message)}); mend that line.`,
    );
  }
  const values: unknown = document.toJS() ?? {};
  if (!isMapping(values)) {
    throw new UserError(`${path}: expected a mapping of config keys, got ${describeType(values)}; see configs/.`);
  }
  for (const [key, value] of Object.entries(values)) if (value === null && isSection(key)) values[key] = {};
  return values;
}

function readOverride(text: string): { key: string; value: unknown } {
  const at = text.indexOf('=');
  if (at <= 0) {
    throw new UserError(`command line: expected key=value, got ${text}; write e.g. lora.r=8.`);
  }
  const key = text.slice(0, at);
  const document = parseDocument(text.slice(at + 1), { prettyErrors: false });
  const problem = document.errors[0] ?? document.warnings[0];
  if (problem !== undefined) {
    throw new UserError(
      `command line: expected a YAML value for ${key}, got ${text.slice(at + 1)} (${firstLine(problem.message)}); quote it.`,
    );
  }
  return { key, value: document.toJS() };
}

/** Sets a leaf, or merges a mapping into a section. Returns the leaves that were set. */
function setValue(values: Values, key: string, value: unknown): string[] {
  const [section, leaf] = key.split('.');
  if (section === undefined) return [];
  if (leaf === undefined) {
    const old = values[section];
    values[section] = isMapping(value) && isMapping(old) ? { ...old, ...value } : value;
    return isMapping(value) ? Object.keys(value).map((name) => `${section}.${name}`) : [section];
  }
  const old = values[section];
  if (old === undefined || isMapping(old)) values[section] = { ...old, [leaf]: value };
  return [key];
}

function givenLeaves(values: Values): string[] {
  return Object.entries(values).flatMap(([key, value]) =>
    isSection(key) && isMapping(value) ? Object.keys(value).map((leaf) => `${key}.${leaf}`) : [key],
  );
}

function isMapping(value: unknown): value is Values {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function describeType(value: unknown): string {
  return Array.isArray(value) ? 'a list' : `a ${typeof value}`;
}

function firstLine(message: string): string {
  return message.split('\n')[0] ?? message;
}
