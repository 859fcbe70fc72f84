// Added tokens of a tokenizer.json, and the copy of it through which texts go: in the copy each special token is spelt
// as a placeholder, so that text which spells a special token stays text. Placeholders are made of the noncharacters
// U+FDD0 to U+FDEF, which Unicode keeps out of texts; a text that holds one is refused.
import { UserError } from '../core/errors.ts';
import { isObject, type JsonObject } from '../core/json.ts';

export interface AddedToken {
  id: number;
  content: string;
  special: boolean;
  lstrip: boolean;
  rstrip: boolean;
  single_word: boolean;
  normalized: boolean;
}

/** The noncharacters that texts must not hold: placeholders and the marks of chat_template.ts are made of them. */
export const RESERVED = /[\uFDD0-\uFDEF]/;

/** The noncharacter of the digit 0. */
export const ZERO = 0xfdd1;

/** A number in reserved noncharacters: `open`, its hexadecimal digits from ZERO on, and U+FDE1. */
export function reservedNumber(open: string, n: number): string {
  const digits = [...n.toString(16)].map((digit) => String.fromCharCode(ZERO + Number.parseInt(digit, 16)));
  return `${open}${digits.join('')}\uFDE1`;
}

/** The placeholder of the n-th added token. */
export function placeholderOf(n: number): string {
  return reservedNumber('\uFDD0', n);
}

/**
 * The added tokens as the file has them; flags that are left out are false.
 * @param named tokens of tokenizer_config.json, which transformers adds where the file has them in its vocabulary alone
 */
export function addedTokens(json: JsonObject, named: readonly string[] = []): AddedToken[] {
  const list: unknown[] = Array.isArray(json.added_tokens) ? json.added_tokens : [];
  const tokens = list.filter(isObject).map((token) => ({
    id: Number(token.id),
    content: String(token.content),
    special: token.special === true,
    lstrip: token.lstrip === true,
    rstrip: token.rstrip === true,
    single_word: token.single_word === true,
    normalized: token.normalized === true,
  }));
  // A token that ends or begins texts must not come out of one, whatever the file says.
  for (const token of tokens) if (named.includes(token.content)) token.special = true;
  const known = new Set(tokens.map(({ content }) => content));
  const flags = { special: true, lstrip: false, rstrip: false, single_word: false, normalized: false };
  const missing = [...new Set(named)].filter((content) => !known.has(content));
  const added = missing.flatMap((content) => {
    const id = vocabularyId(json.model, content);
    return id === null ? [] : [{ id, content, ...flags }];
  });
  return [...tokens, ...added];
}

function vocabularyId(model: unknown, token: string): number | null {
  const vocab = isObject(model) ? model.vocab : null;
  if (Array.isArray(vocab)) {
    const at = vocab.findIndex((piece: unknown) => Array.isArray(piece) && piece[0] === token);
    return at === -1 ? null : at;
  }
  const id = isObject(vocab) ? vocab[token] : undefined;
  return typeof id === 'number' ? id : null;
}

/**
 * tokenizer.json with placeholders in place of the special tokens. They are found before the text is normalised,
 * whatever their flag says: a template's special tokens are ids. The vocabulary stays as it is, so a library numbers
 * placeholders anew. Truncation, padding and the post-processor are left out.
 */
export function withPlaceholders(json: JsonObject, tokens: readonly AddedToken[]): JsonObject {
  const added_tokens = tokens.map((token, n) =>
    token.special ? { ...token, content: placeholderOf(n), normalized: false } : token,
  );
  return { ...json, truncation: null, padding: null, post_processor: null, added_tokens };
}

/** Special tokens that share characters with an added token: spelt in a text, Python finds neither of the two. */
export function overlappedSpecials(tokens: readonly AddedToken[]): string[] {
  const plain = tokens.filter(({ special }) => !special).map(({ content }) => content);
  const specials = tokens.filter(({ special }) => special).map(({ content }) => content);
  return specials.filter((special) => plain.some((other) => special.includes(other) || endsAsBegins(special, other)));
}

function endsAsBegins(text: string, other: string): boolean {
  for (let length = 1; length < Math.min(text.length, other.length); length++) {
    if (text.endsWith(other.slice(0, length))) return true;
  }
  return false;
}

/** What the model writes for what it does not know, or null. */
export function unknownToken({ model }: JsonObject): string | null {
  if (!isObject(model)) return null;
  const { unk_token, unk_id, vocab } = model;
  if (typeof unk_token === 'string') return unk_token;
  const piece: unknown = typeof unk_id === 'number' && Array.isArray(vocab) ? vocab[unk_id] : null;
  return Array.isArray(piece) ? String(piece[0]) : null;
}

/** Whether the model itself may read a text as a special token: its vocabulary holds the token and no merges build it. */
export function modelSpellsSpecials(json: JsonObject, tokens: readonly AddedToken[]): boolean {
  const model = isObject(json.model) ? json.model : {};
  const isBuilt = (model.type ?? 'BPE') === 'BPE' && model.ignore_merges !== true;
  if (isBuilt) return false;
  const { vocab } = model;
  const known = new Set(Array.isArray(vocab) ? vocab.map((piece: unknown) => String((piece as unknown[])[0])) : []);
  return tokens.some(
    ({ special, content }) => special && (known.has(content) || (isObject(vocab) && content in vocab)),
  );
}

/**
 * Whether a text is changed before tokens with the flag `normalized` are searched for in it: a blank that is put in
 * front, or none, then makes other words of them.
 */
export function normalizes(json: JsonObject): boolean {
  return !isHarmless(json.normalizer);
}

function isHarmless(normalizer: unknown): boolean {
  if (!isObject(normalizer)) return true;
  if (Array.isArray(normalizer.normalizers)) return normalizer.normalizers.every(isHarmless);
  return ['NFC', 'NFD', 'NFKC', 'NFKD'].includes(String(normalizer.type));
}

/** @throws UserError where a tokenizer's flags make its ids depend on how a special token is spelt */
export function checkFlags(path: string, tokens: readonly AddedToken[]): void {
  const single = tokens.find(({ single_word }) => single_word);
  const wordy = tokens.find(
    ({ special, content }) => special && /^[\p{L}\p{M}\p{N}_]|[\p{L}\p{M}\p{N}_]$/u.test(content),
  );
  if (single === undefined || wordy === undefined) return;
  throw new UserError(
    `${path}: expected special tokens that are no words beside a "single_word" token, got ${wordy.content} and ` +
      `${single.content}; set "single_word" to false.`,
  );
}

/** tokenizer.json without the dummy blank that it puts in front of a text. */
export function withoutDummyBlank(json: JsonObject): JsonObject {
  return {
    ...json,
    normalizer: withoutPrepend(json.normalizer),
    pre_tokenizer: withoutPrefixSpace(json.pre_tokenizer),
  };
}

function withoutPrepend(node: unknown): unknown {
  if (!isObject(node) || node.type === 'Prepend') return null;
  if (node.type !== 'Sequence' || !Array.isArray(node.normalizers)) return node;
  return { ...node, normalizers: node.normalizers.map(withoutPrepend).filter((child: unknown) => child !== null) };
}

function withoutPrefixSpace(node: unknown): unknown {
  if (!isObject(node)) return null;
  if (Array.isArray(node.pretokenizers)) return { ...node, pretokenizers: node.pretokenizers.map(withoutPrefixSpace) };
  if (node.type === 'Metaspace') {
    const { add_prefix_space: _, ...rest } = node;
    return { ...rest, prepend_scheme: 'never' };
  }
  return node.type === 'ByteLevel' ? { ...node, add_prefix_space: false } : node;
}

/**
 * Added tokens whose number in the file is not the one that the library gives them: it takes that of the vocabulary,
 * or counts on behind it.
 */
export function wrongIds(json: JsonObject, tokens: readonly AddedToken[]): string[] {
  const model = isObject(json.model) ? json.model : {};
  const { vocab } = model;
  const size = Array.isArray(vocab) ? vocab.length : isObject(vocab) ? Object.keys(vocab).length : 0;
  let next = size;
  return tokens.flatMap(({ id, content }) => {
    const known = vocabularyId(model, content);
    const expected = known ?? next;
    if (known === null) next += 1;
    return id === expected ? [] : [`${content}: ${id}, read as ${expected}`];
  });
}
