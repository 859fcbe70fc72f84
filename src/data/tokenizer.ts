// The tokenizer of a Hugging Face folder through @xenova/transformers: ids as the Rust `tokenizers` library gives them,
// read from tokenizer.json alone. Special tokens are never parsed from a text; they enter as ids.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import './without_onnx.ts';
import { PreTrainedTokenizer } from '@xenova/transformers/src/tokenizers.js';
import { messageOf, UserError } from '../core/errors.ts';
import { readJsonFile, readTextFile, sha256 } from '../core/files.ts';
import { isObject, type JsonObject } from '../core/json.ts';
import { refuseLfsPointer } from './jsonl.ts';
import { adaptTokenizerJson, withoutDummyBlank } from './tokenizer_json.ts';
import { WordEncoder } from './word_encoder.ts';

export interface EncodeOptions {
  /** Adds what the post-processor adds (BOS, …); default false. */
  addSpecialTokens?: boolean;
  /** Whether a dummy blank is put in front where the tokenizer has one; default true. */
  dummyBlank?: boolean;
  /** Whether the text stands at the very start; behind a special token some tokenizers leave the dummy blank out. */
  isFirst?: boolean;
}

export interface Tokenizer {
  encode(text: string, options?: EncodeOptions): number[];
  decode(ids: readonly number[], options?: { skipSpecialTokens?: boolean }): string;
  tokenToId(token: string): number | null;
  eosId: number;
  eosToken: string;
  bosId: number | null;
  bosToken: string | null;
  /** Ids that the post-processor puts in front of a text. */
  prefixIds: readonly number[];
  /** Names of the special and added tokens. */
  specialTokens: readonly string[];
  chatTemplate: string | null;
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
  refuseLfsPointer(path, 'a tokenizer');
  const json = adaptTokenizerJson(readObject(path, 'a tokenizer'));
  const config = readOptional(join(folder, 'tokenizer_config.json'));
  const base = build(path, json);
  const bare = build(path, withoutDummyBlank(json));
  const words = new WordEncoder(base.model, base.normalizer, base.pre_tokenizer, plainAddedTokens(json));
  const bareWords = new WordEncoder(base.model, bare.normalizer, bare.pre_tokenizer, plainAddedTokens(json));
  const prefixIds = prefixOf(base);
  const eosToken = tokenName(config.eos_token) ?? endTokenOfModel(folder, base);
  const bosToken = tokenName(config.bos_token);
  const idOf = (token: string) => base.model.tokens_to_ids.get(token) ?? null;
  const eosId = idOf(eosToken);
  if (eosId === null) {
    throw new UserError(
      `${folder}: expected the end token ${eosToken} in tokenizer.json, got none; restore the folder.`,
    );
  }
  const existing = FILES.map((name) => join(folder, name)).filter((file) => existsSync(file));
  return {
    encode(text, { addSpecialTokens = false, dummyBlank = true, isFirst = true } = {}) {
      const ids = (dummyBlank ? words : bareWords).encode(text, isFirst);
      return addSpecialTokens ? base.model.convert_tokens_to_ids(postProcess(base, tokensOf(base, ids))) : ids;
    },
    decode(ids, { skipSpecialTokens = false } = {}) {
      if (ids.length === 0) return '';
      return base.decode([...ids], { skip_special_tokens: skipSpecialTokens, clean_up_tokenization_spaces: false });
    },
    tokenToId: idOf,
    eosId,
    eosToken,
    bosId: bosToken === null ? null : idOf(bosToken),
    bosToken,
    prefixIds,
    specialTokens: base.added_tokens.map(({ content }) => content),
    chatTemplate: chatTemplateOf(folder, config),
    hash: hashFiles(folder),
    folder,
    files: existing,
  };
}

function build(path: string, json: JsonObject): PreTrainedTokenizer {
  try {
    return new PreTrainedTokenizer(json, {});
  } catch (error) {
    throw new UserError(`${path}: expected a tokenizer that can be read, got ${messageOf(error)}; use another base.`);
  }
}

/** Added tokens that are not special: these are words of the vocabulary and are found in texts. */
function plainAddedTokens(json: JsonObject): string[] {
  const added: unknown[] = Array.isArray(json.added_tokens) ? json.added_tokens : [];
  return added.filter(isObject).flatMap(({ content, special }) => (special === true ? [] : [String(content)]));
}

function tokensOf(base: PreTrainedTokenizer, ids: readonly number[]): string[] {
  return base.model.convert_ids_to_tokens([...ids]);
}

function postProcess(base: PreTrainedTokenizer, tokens: string[]): string[] {
  return base.post_processor
    ? base.post_processor.post_process(tokens, null, { add_special_tokens: true }).tokens
    : tokens;
}

/** What the post-processor puts before a sequence: the tokens in front of a probe. */
function prefixOf(base: PreTrainedTokenizer): number[] {
  const probe = '\u0000probe';
  const tokens = postProcess(base, [probe]);
  return base.model.convert_tokens_to_ids(tokens.slice(0, tokens.indexOf(probe)));
}

/** A token of tokenizer_config.json: text, or an object with its content. */
function tokenName(value: unknown): string | null {
  if (typeof value === 'string') return value;
  return isObject(value) && typeof value.content === 'string' ? value.content : null;
}

function endTokenOfModel(folder: string, base: PreTrainedTokenizer): string {
  const { eos_token_id: id } = readOptional(join(folder, 'config.json'));
  const first: unknown = Array.isArray(id) ? id[0] : id;
  const token = typeof first === 'number' ? base.model.vocab[first] : undefined;
  if (token !== undefined) return token;
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
