// The tokenizer of a Hugging Face folder: ids as Python's `tokenizers` gives them, read from tokenizer.json alone.
// Special tokens are never parsed from a text; a text that is to have them holds their placeholders.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { messageOf, UserError } from '../core/errors.ts';
import { readJsonFile, readTextFile, sha256 } from '../core/files.ts';
import { isObject, type JsonObject } from '../core/json.ts';
import {
  type AddedToken,
  addedTokens,
  checkFlags,
  normalizes,
  withoutDummyBlank,
  withPlaceholders,
} from './added_tokens.ts';
import { refuseLfsPointer } from './jsonl.ts';
import { postProcessorPrefix } from './post_processor.ts';
import { type TextCheck, type TokenNames, textCheck, tokenNames } from './token_names.ts';
import type { Codec, TokenizerLibrary } from './tokenizer_codec.ts';
import { tokenizerLibrary } from './tokenizer_library.ts';

export interface EncodeOptions {
  /** Whether a dummy blank is put in front where the tokenizer has one; default true. */
  dummyBlank?: boolean;
}

export interface Tokenizer {
  /**
   * Ids of texts, without what the post-processor adds. A placeholder is its special token; all else is text, also
   * where it spells one. Added tokens that are not special are words of the vocabulary, and found in texts.
   * @throws UserError for a text that cannot be right
   */
  encode(texts: readonly string[], options?: EncodeOptions): Promise<Int32Array[]>;
  decode(ids: ArrayLike<number>, options?: { skipSpecialTokens?: boolean }): string;
  /** What stands for a special token in a text that is encoded; throws for a token that is not special. */
  placeholder(token: string): string;
  tokenToId(token: string): number | null;
  eosId: number;
  eosToken: string;
  bosId: number | null;
  bosToken: string | null;
  /** Ids that the post-processor puts in front of a text. */
  prefixIds: readonly number[];
  /** The special and added tokens. */
  addedTokens: readonly AddedToken[];
  /** Whether tokens with the flag `normalized` are searched for in a text that was changed. */
  normalizes: boolean;
  /** What tokenizer_config.json calls its tokens by: bos_token, eos_token, … as far as they are set. */
  namedTokens: Readonly<Record<string, string>>;
  chatTemplate: string | null;
  /** Name and version of the library that makes the ids. */
  library: string;
  /** Hash of the files that decide about ids and template. */
  hash: string;
  folder: string;
  /** Paths to copy into a checkpoint. */
  files: string[];
}

const FILES = [
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'chat_template.jinja',
  'tokenizer.model',
] as const;
const HASHED_FILES = ['tokenizer.json', 'tokenizer_config.json', 'chat_template.jinja'];

/**
 * Loads tokenizer.json, tokenizer_config.json and chat_template.jinja of a local folder.
 * @throws UserError when tokenizer.json is missing, a Git LFS pointer or of an unknown kind, or there is no end token
 */
export async function loadTokenizer(folder: string): Promise<Tokenizer> {
  const path = join(folder, 'tokenizer.json');
  refuseOtherFormats(folder);
  refuseLfsPointer(path, 'a tokenizer');
  const json = readObject(path, 'a tokenizer');
  const config = readOptional(join(folder, 'tokenizer_config.json'));
  const namedTokens = namesOf(config);
  const tokens = addedTokens(json, Object.values(namedTokens));
  checkFlags(path, tokens);
  const library = await tokenizerLibrary();
  const codec = openCodec(path, library, json, withPlaceholders(json, tokens));
  const names = tokenNames(path, json, tokens, codec);
  const idOf = (token: string) => names.ids.get(token) ?? codec.idOf(token);
  const tokenOf = (id: number) => names.special.get(id) ?? codec.tokenOf(names.original.get(id) ?? id);
  const eosToken = namedTokens.eos_token ?? endTokenOfModel(folder, tokenOf);
  const eosId = idOf(eosToken);
  if (eosId === null) {
    throw new UserError(
      `${folder}: expected the end token ${eosToken} in tokenizer.json, got none; restore the folder.`,
    );
  }
  const bosToken = namedTokens.bos_token ?? null;
  const check = textCheck(json, tokens, names);
  let bare: Codec | null = null;
  return {
    async encode(texts, { dummyBlank = true } = {}) {
      if (dummyBlank) return await encodeChecked(codec, names, check, texts);
      bare ??= openCodec(path, library, json, withoutDummyBlank(withPlaceholders(json, tokens)));
      return await encodeChecked(bare, names, check, texts);
    },
    decode(ids, { skipSpecialTokens = false } = {}) {
      const kept = Array.from(ids).filter((id) => !(skipSpecialTokens && names.special.has(id)));
      return kept.length === 0 ? '' : codec.join(kept.flatMap((id) => tokenOf(id) ?? []));
    },
    placeholder(token) {
      const text = names.byToken.get(token);
      if (text === undefined) throw new Error(`${token} is no special token of ${folder}`);
      return text;
    },
    tokenToId: idOf,
    eosId,
    eosToken,
    bosId: bosToken === null ? null : idOf(bosToken),
    bosToken,
    prefixIds: postProcessorPrefix(path, json.post_processor),
    addedTokens: tokens,
    normalizes: normalizes(json),
    namedTokens,
    chatTemplate: chatTemplateOf(folder, config),
    library: library.name,
    hash: hashFiles(folder),
    folder,
    files: FILES.map((name) => join(folder, name)).filter((file) => existsSync(file)),
  };
}

function openCodec(path: string, library: TokenizerLibrary, original: JsonObject, json: JsonObject): Codec {
  try {
    return library.open(original, json);
  } catch (error) {
    const isRefused = error instanceof UserError;
    const got = isRefused ? error.message : `expected a tokenizer that can be read, got ${messageOf(error)}`;
    throw new UserError(`${path}: ${got}; use another base.`);
  }
}

/** Ids under the numbers of the file, of texts that were looked at before and after. */
async function encodeChecked(
  codec: Codec,
  { first, renumbered }: TokenNames,
  check: TextCheck,
  texts: readonly string[],
): Promise<Int32Array[]> {
  texts.forEach(check.before);
  const all = await codec.encode(texts);
  for (const [i, ids] of all.entries()) {
    for (let t = 0; t < ids.length; t++) {
      const id = ids[t] as number;
      if (id >= first) ids[t] = renumbered.get(id) ?? id;
    }
    check.after(texts[i] as string, ids);
  }
  return all;
}

/** A folder with the tokenizer in another format is told what to do. */
function refuseOtherFormats(folder: string): void {
  if (existsSync(join(folder, 'tokenizer.json')) || !existsSync(folder)) return;
  const formats = ['tokenizer.model', 'spiece.model', 'vocab.json', 'vocab.txt', 'tekken.json'];
  const other = formats.find((name) => existsSync(join(folder, name)));
  if (other === undefined) return;
  throw new UserError(
    `${folder}: expected tokenizer.json, got ${other} alone; convert it once with Python: ` +
      `AutoTokenizer.from_pretrained("${folder}").save_pretrained("${folder}") of transformers writes tokenizer.json.`,
  );
}

const NAMED = ['bos_token', 'eos_token', 'unk_token', 'sep_token', 'pad_token', 'cls_token', 'mask_token'];

/** A token of tokenizer_config.json: text, or an object with its content. */
function namesOf(config: JsonObject): Record<string, string> {
  const entries = NAMED.map((key): [string, unknown] => {
    const { [key]: value } = config;
    return [key, isObject(value) ? value.content : value];
  });
  return Object.fromEntries(entries.filter((entry): entry is [string, string] => typeof entry[1] === 'string'));
}

function endTokenOfModel(folder: string, tokenOf: (id: number) => string | null): string {
  const { eos_token_id: id } = readOptional(join(folder, 'config.json'));
  const first: unknown = Array.isArray(id) ? id[0] : id;
  const token = typeof first === 'number' ? tokenOf(first) : null;
  if (token !== null) return token;
  throw new UserError(
    `${folder}: expected "eos_token" in tokenizer_config.json or "eos_token_id" in config.json, got neither; ` +
      'add the token that ends an answer.',
  );
}

function chatTemplateOf(folder: string, config: JsonObject): string | null {
  const path = join(folder, 'chat_template.jinja');
  if (existsSync(path)) return readTextFile(path, 'a chat template');
  const { chat_template: template } = config;
  if (!Array.isArray(template)) return typeof template === 'string' ? template : null;
  const named = template.filter(isObject).find(({ name }) => name === 'default')?.template;
  return typeof named === 'string' ? named : null;
}

function hashFiles(folder: string): string {
  const parts = HASHED_FILES.map((name) => join(folder, name)).map((path) =>
    existsSync(path) ? sha256(readFileSync(path)) : 'none',
  );
  return sha256(parts.join('\n'));
}

function readObject(path: string, what: string): JsonObject {
  const value = readJsonFile(path, what);
  if (isObject(value)) return value;
  throw new UserError(`${path}: expected ${what} as one JSON object, got something else; restore the file.`);
}

function readOptional(path: string): JsonObject {
  return existsSync(path) ? readObject(path, 'settings') : {};
}
