// The resolved config as YAML that loads again, with the origin of each value that is not a default.
import { stringify } from 'yaml';
import type { Config } from './schema.ts';

/** YAML of all keys in the schema's order; a value from the file or the command line says so in a comment. */
export function configText(config: Config, origins: ReadonlyMap<string, string> = new Map()): string {
  const lines = Object.entries(config).flatMap(([key, value]) => {
    if (typeof value === 'string') return [leafLine('', key, value, origins.get(key))];
    const leaves = Object.entries(value).map(([leaf, inner]) =>
      leafLine('  ', leaf, inner, origins.get(`${key}.${leaf}`)),
    );
    return [`${key}:`, ...leaves];
  });
  return `${lines.join('\n')}\n`;
}

function leafLine(indent: string, key: string, value: unknown, origin: string | undefined): string {
  const text = stringify(value, { collectionStyle: 'flow', lineWidth: 0, defaultStringType: 'PLAIN' }).trim();
  const line = `${indent}${key}: ${text}`;
  return origin === undefined || origin === 'default' ? line : `${line} # ${origin}`;
}
