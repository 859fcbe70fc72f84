// Ids by @xenova/transformers, for machines without a binary of the Rust library. It reads some features of
// tokenizer.json differently from Python; those that it gets wrong are refused by name, in the file or in a text.
import './without_onnx.ts';
import { PreTrainedTokenizer } from '@xenova/transformers/src/tokenizers.js';
import { UserError } from '../core/errors.ts';
import { isObject, type JsonObject } from '../core/json.ts';
import { addedTokens } from './added_tokens.ts';
import { type Codec, packageVersion, type TokenizerLibrary } from './tokenizer_codec.ts';

/** Words that the library remembers before it forgets them all; it has no bound of its own. */
const MAX_WORDS = 1 << 16;

export function xenovaLibrary(): TokenizerLibrary {
  const name = `@xenova/transformers ${packageVersion('@xenova/transformers')}`;
  return {
    name,
    open(original, json) {
      const wrong = wrongFeatures(original);
      if (wrong.length > 0) {
        throw new UserError(`expected a tokenizer that ${name} reads as Python does, got ${wrong.join(', ')}`);
      }
      return codecOf(build(name, json), name, wrongTexts(original));
    },
  };
}

function build(name: string, json: JsonObject): PreTrainedTokenizer {
  try {
    const tokenizer = new PreTrainedTokenizer(adapted(json), {});
    // The library would drop a byte order mark that is spelt in bytes.
    const { decoder } = tokenizer;
    const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });
    for (const part of [decoder, ...(decoder?.decoders ?? [])]) if (part?.text_decoder) part.text_decoder = utf8;
    return tokenizer;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new UserError(`expected a tokenizer that ${name} reads as Python does, got a pattern that JavaScript lacks`);
  }
}

function codecOf(tokenizer: PreTrainedTokenizer, name: string, wrong: readonly WrongText[]): Codec {
  const { model } = tokenizer;
  const idOf = (token: string): number | null => model.tokens_to_ids.get(token) ?? null;
  return {
    encode: async (texts) =>
      texts.map((text) => {
        const fault = wrong.find(({ pattern }) => pattern.test(text));
        if (fault !== undefined) {
          throw new UserError(`expected a text that ${name} reads as Python does, got ${fault.what} in one`);
        }
        if (model.cache.size > MAX_WORDS) model.cache.clear();
        return Int32Array.from(model.convert_tokens_to_ids(tokenizer._encode_text(text)));
      }),
    idOf,
    tokenOf: (id) => model.vocab[id] ?? null,
    join: (tokens) => (tokenizer.decoder === null ? tokens.join(' ') : tokenizer.decoder.decode([...tokens])),
  };
}

/** What the library cannot read although it means the same: merges as pairs, fields that are left out. */
function adapted(json: JsonObject): JsonObject {
  const model = isObject(json.model) ? json.model : {};
  const merges = Array.isArray(model.merges) ? model.merges : [];
  const added: unknown[] = Array.isArray(json.added_tokens) ? json.added_tokens : [];
  const lengthOf = (token: unknown) => (isObject(token) ? String(token.content).length : 0);
  return {
    ...json,
    normalizer: json.normalizer ?? null,
    pre_tokenizer: adaptedStage(json.pre_tokenizer),
    post_processor: null,
    decoder: json.decoder ?? null,
    // The library takes the first that fits, Python the longest.
    added_tokens: added.toSorted((a, b) => lengthOf(b) - lengthOf(a)),
    model: {
      ...model,
      type: 'BPE',
      merges: merges.map((merge: unknown) => (Array.isArray(merge) ? merge.join(' ') : merge)),
    },
  };
}

function adaptedStage(stage: unknown): JsonObject | null {
  if (!isObject(stage)) return null;
  if (Array.isArray(stage.pretokenizers)) return { ...stage, pretokenizers: stage.pretokenizers.map(adaptedStage) };
  if (stage.type !== 'Metaspace') return stage;
  const prepend_scheme = stage.prepend_scheme ?? (stage.add_prefix_space === false ? 'never' : 'always');
  return { ...stage, prepend_scheme, add_prefix_space: prepend_scheme !== 'never' };
}

/** Features of a file that the library reads differently. */
function wrongFeatures(json: JsonObject): string[] {
  const normalizers = stagesOf(json.normalizer, 'normalizers');
  const stages = stagesOf(json.pre_tokenizer, 'pretokenizers');
  const tokens = addedTokens(json).flatMap((token) => {
    const flags = (['lstrip', 'rstrip', 'single_word'] as const).filter((flag) => token[flag]);
    if (token.normalized && normalizers.length > 0) flags.push('normalized' as never);
    return flags.map((flag) => `the added token ${JSON.stringify(token.content)} with ${flag}`);
  });
  return [
    ...tokens.slice(0, 3),
    ...normalizers.filter((stage) => !isRightNormalizer(stage)).map((stage) => `the normalizer ${nameOf(stage)}`),
    ...stages.flatMap(wrongStage),
    ...wrongModel(json.model),
  ];
}

function isRightNormalizer({ type, pattern }: JsonObject): boolean {
  if (type === 'Replace') return isObject(pattern) && typeof pattern.String === 'string';
  return type === 'Prepend';
}

function wrongStage(stage: JsonObject): string[] {
  switch (stage.type) {
    case 'ByteLevel':
      return stage.add_prefix_space === true ? ['the pre-tokenizer ByteLevel with add_prefix_space'] : [];
    case 'Digits':
      return [];
    case 'Metaspace':
      return stage.split === false ? [] : ['the pre-tokenizer Metaspace with split'];
    case 'Split':
      return stage.behavior === 'Isolated' && stage.invert !== true
        ? []
        : [`the pre-tokenizer Split with behavior ${stage.behavior}${stage.invert === true ? ' and invert' : ''}`];
    default:
      return [`the pre-tokenizer ${nameOf(stage)}`];
  }
}

function wrongModel(model: unknown): string[] {
  if (!isObject(model)) return ['no model'];
  const { type, dropout, continuing_subword_prefix, end_of_word_suffix } = model;
  if (type !== 'BPE' && type !== undefined) return [`the model ${type}`];
  const wrong = Object.entries({ dropout, continuing_subword_prefix, end_of_word_suffix });
  return wrong
    .filter(([, value]) => value !== null && value !== undefined && value !== '')
    .map(([key]) => `a BPE with ${key}`);
}

interface WrongText {
  what: string;
  pattern: RegExp;
}

/** What texts must not hold, because the patterns of this file read it differently in JavaScript. */
function wrongTexts(json: JsonObject): WrongText[] {
  const stages = stagesOf(json.pre_tokenizer, 'pretokenizers');
  const isPattern = ({ type, use_regex }: JsonObject) =>
    type === 'Split' || (type === 'ByteLevel' && use_regex !== false);
  const isSpace = {
    what: 'U+FEFF or U+0085, which are white space in one and not in the other',
    pattern: /[\uFEFF\u0085]/,
  };
  const isNew = {
    what: 'a letter, digit or mark of Unicode 17, which one of the two does not know',
    pattern: UNICODE_17,
  };
  const isDigit = { what: 'a digit that is not 0 to 9', pattern: /(?![0-9])\p{N}/u };
  return [
    ...(stages.some(isPattern) ? [isSpace, isNew] : []),
    ...(stages.some(({ type }) => type === 'Digits') ? [isDigit] : []),
  ];
}

/** Letters, digits and marks that came with Unicode 17. */
const UNICODE_17 = new RegExp(
  '[\\u088F\\u0C5C\\u0CDC\\u1ACF-\\u1ADD\\u1AE0-\\u1AEB\\uA7CE\\uA7CF\\uA7D2\\uA7D4\\uA7F1\\u{10940}-\\u{10959}' +
    '\\u{10EC5}-\\u{10EC7}\\u{10EFA}\\u{10EFB}\\u{11B60}-\\u{11B67}\\u{11DB0}-\\u{11DE9}\\u{16EA0}-\\u{16ED3}' +
    '\\u{16FF2}-\\u{16FF6}\\u{187F8}-\\u{187FF}\\u{18D09}-\\u{18D1E}\\u{18D80}-\\u{18DF2}\\u{1E6C0}-\\u{1E6FF}' +
    '\\u{2B73A}-\\u{2B73F}\\u{2CEA2}-\\u{2CEAD}\\u{323B0}-\\u{33479}]',
  'u',
);

function stagesOf(node: unknown, key: string): JsonObject[] {
  if (!isObject(node)) return [];
  const { [key]: children } = node;
  return Array.isArray(children) ? children.flatMap((child: unknown) => stagesOf(child, key)) : [node];
}

function nameOf({ type }: JsonObject): string {
  return String(type);
}
