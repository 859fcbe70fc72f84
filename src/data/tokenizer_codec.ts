// What reads a tokenizer.json: one file opened, and a library that opens files.
import { createRequire } from 'node:module';
import { readJsonFile } from '../core/files.ts';
import { isObject, type JsonObject } from '../core/json.ts';

/** One tokenizer.json, opened. */
export interface Codec {
  /** Ids of texts, without what a post-processor adds. */
  encode(texts: readonly string[]): Promise<Int32Array[]>;
  idOf(token: string): number | null;
  tokenOf(id: number): string | null;
  /** The text of a list of tokens. */
  join(tokens: readonly string[]): string;
}

export interface TokenizerLibrary {
  /** Name and version, a part of what prepared data is made from. */
  name: string;
  /**
   * @param original the file as it is; the library may refuse some of its features
   * @param json what is opened in its place: the same with other names
   * @throws UserError where the library reads a feature differently from Python; Error where it cannot read the file
   */
  open(original: JsonObject, json: JsonObject): Codec;
}

const require = createRequire(import.meta.url);

/** The version of an installed package. */
export function packageVersion(name: string): string {
  const json = readJsonFile(require.resolve(`${name}/package.json`), 'a package.json');
  return isObject(json) ? String(json.version) : 'unknown';
}
