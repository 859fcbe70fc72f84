// Rewrites tokenizer.json where @xenova/transformers reads it differently from the Rust `tokenizers` library:
// merges as pairs, Unicode digits and white space, Metaspace without `add_prefix_space`, and the dummy blank.
import { isObject, type JsonObject } from '../core/json.ts';

/** Unicode White_Space; JavaScript's \s has U+FEFF in addition and lacks U+0085. */
const SPACE = '\\t-\\r\\x20\\x85\\xA0\\u1680\\u2000-\\u200A\\u2028\\u2029\\u202F\\u205F\\u3000';
const GPT2_WORDS =
  `'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^${SPACE}\\p{L}\\p{N}]+|` + `[${SPACE}]+(?![^${SPACE}])|[${SPACE}]+`;

/** tokenizer.json as the library has to see it. */
export function adaptTokenizerJson(json: JsonObject): JsonObject {
  const model = isObject(json.model) ? json.model : {};
  const merges = Array.isArray(model.merges) ? model.merges : [];
  return {
    ...json,
    normalizer: json.normalizer ?? null,
    post_processor: json.post_processor ?? null,
    decoder: json.decoder ?? null,
    added_tokens: json.added_tokens ?? [],
    pre_tokenizer: sequence(preTokenizers(json.pre_tokenizer)),
    model: {
      ...model,
      type: model.type ?? 'BPE',
      merges: merges.map((merge: unknown) => (Array.isArray(merge) ? merge.join(' ') : merge)),
    },
  };
}

/** The same rules without the dummy blank in front of a text, and with an empty vocabulary. */
export function withoutDummyBlank(adapted: JsonObject): JsonObject {
  return {
    ...adapted,
    normalizer: withoutPrepend(adapted.normalizer),
    pre_tokenizer: withoutPrefixSpace(adapted.pre_tokenizer),
    post_processor: null,
    decoder: null,
    added_tokens: [],
    model: { type: 'BPE', vocab: {}, merges: [] },
  };
}

function preTokenizers(node: unknown): JsonObject[] {
  if (!isObject(node)) return [];
  switch (node.type) {
    case 'Sequence':
      return Array.isArray(node.pretokenizers) ? node.pretokenizers.flatMap(preTokenizers) : [];
    case 'Digits':
      return [split(node.individual_digits === true ? '\\p{N}' : '\\p{N}+', false)];
    case 'ByteLevel': {
      if (node.use_regex === false || node.add_prefix_space === true) return [node];
      return [split(GPT2_WORDS, true), { ...node, use_regex: false }];
    }
    case 'Metaspace': {
      const scheme = node.prepend_scheme ?? (node.add_prefix_space === false ? 'never' : 'always');
      const metaspace = { ...node, prepend_scheme: scheme, add_prefix_space: scheme !== 'never' };
      const mark = typeof node.replacement === 'string' ? node.replacement : '▁';
      return node.split === false ? [metaspace] : [metaspace, split(`${mark}[^${mark}]*|[^${mark}]+`, true)];
    }
    default:
      return [node];
  }
}

/** A Split whose pieces are the matches (`invert`), or the matches and what lies between them. */
function split(regex: string, invert: boolean): JsonObject {
  return { type: 'Split', pattern: { Regex: regex }, behavior: invert ? 'Removed' : 'Isolated', invert };
}

function sequence(pretokenizers: JsonObject[]): JsonObject | null {
  return pretokenizers.length === 0 ? null : { type: 'Sequence', pretokenizers };
}

function withoutPrepend(node: unknown): unknown {
  if (!isObject(node)) return null;
  if (node.type === 'Prepend') return null;
  if (node.type !== 'Sequence' || !Array.isArray(node.normalizers)) return node;
  return { ...node, normalizers: node.normalizers.map(withoutPrepend).filter((child: unknown) => child !== null) };
}

function withoutPrefixSpace(node: unknown): unknown {
  if (!isObject(node)) return null;
  if (Array.isArray(node.pretokenizers)) {
    return { ...node, pretokenizers: node.pretokenizers.map(withoutPrefixSpace) };
  }
  if (node.type === 'Metaspace') return { ...node, prepend_scheme: 'never', add_prefix_space: false };
  return 'add_prefix_space' in node ? { ...node, add_prefix_space: false } : node;
}
