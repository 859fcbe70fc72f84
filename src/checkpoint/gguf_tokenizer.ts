// tokenizer.json, tokenizer_config.json and the chat template of a GGUF file's byte-level BPE tokenizer.
// The splits are those of llama.cpp for the file's `tokenizer.ggml.pre`; other tokenizer kinds are refused.
import { UserError } from '../core/errors.ts';
import type { GgufFile, GgufValue } from './gguf.ts';
import { number, text } from './gguf_llama.ts';

const CONTROL = 3;
const USER_DEFINED = 4;

const BYTE_LEVEL = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true };
// Every Unicode number stands alone, then GPT-2's expression. A Split says \p{N} to all readers alike,
// where `Digits` is read as ASCII only by some.
const SINGLE_DIGITS = { type: 'Split', pattern: { Regex: '\\p{N}' }, behavior: 'Isolated', invert: false };

const PRE_TOKENIZERS: Record<string, unknown> = {
  smollm: { type: 'Sequence', pretokenizers: [SINGLE_DIGITS, BYTE_LEVEL] },
  'gpt-2': BYTE_LEVEL,
};

/** The files of the tokenizer, by name, as JSON values. */
export function ggufTokenizer(file: GgufFile): { tokenizer: unknown; config: Record<string, unknown> } {
  const model = text(file, 'tokenizer.ggml.model');
  const pre = text(file, 'tokenizer.ggml.pre');
  const preTokenizer = PRE_TOKENIZERS[pre];
  if (model !== 'gpt2' || !preTokenizer) {
    throw new UserError(
      `${file.path}: expected a gpt2 tokenizer split like ${Object.keys(PRE_TOKENIZERS).join(' or ')}, got ${model} split like ${pre}; use the Hugging Face folder of this model.`,
    );
  }
  const tokens = texts(file, 'tokenizer.ggml.tokens');
  const special = addedTokens(tokens, file.metadata.get('tokenizer.ggml.token_type'));
  const bos = file.metadata.get('tokenizer.ggml.add_bos_token') === true ? tokenOf(file, tokens, 'bos') : null;
  const tokenizer = {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: special,
    normalizer: null,
    pre_tokenizer: preTokenizer,
    post_processor: bos === null ? null : startWith(bos, tokens.indexOf(bos)),
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges: texts(file, 'tokenizer.ggml.merges'),
    },
  };
  return { tokenizer, config: tokenizerConfig(file, tokens, special, bos !== null) };
}

interface AddedToken {
  id: number;
  content: string;
  single_word: boolean;
  lstrip: boolean;
  rstrip: boolean;
  normalized: boolean;
  special: boolean;
}

function addedTokens(tokens: string[], types: GgufValue | undefined): AddedToken[] {
  const kinds = Array.isArray(types) ? types : [];
  return tokens.flatMap((content, id) => {
    const kind = kinds[id];
    if (kind !== CONTROL && kind !== USER_DEFINED) return [];
    const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false };
    return [{ id, content, ...flags, special: kind === CONTROL }];
  });
}

/** A post-processor that puts one token in front. */
function startWith(token: string, id: number): unknown {
  const first = { SpecialToken: { id: token, type_id: 0 } };
  const sequence = (name: string) => ({ Sequence: { id: name, type_id: 0 } });
  return {
    type: 'TemplateProcessing',
    single: [first, sequence('A')],
    pair: [first, sequence('A'), first, sequence('B')],
    special_tokens: { [token]: { id: token, ids: [id], tokens: [token] } },
  };
}

function tokenizerConfig(
  file: GgufFile,
  tokens: string[],
  special: AddedToken[],
  addBos: boolean,
): Record<string, unknown> {
  const named = {
    bos_token: tokenOf(file, tokens, 'bos'),
    eos_token: tokenOf(file, tokens, 'eos'),
    unk_token: tokenOf(file, tokens, 'unknown'),
    pad_token: tokenOf(file, tokens, 'padding'),
  };
  const template = file.metadata.get('tokenizer.chat_template');
  return {
    added_tokens_decoder: Object.fromEntries(special.map(({ id, ...token }) => [id, token])),
    ...named,
    add_prefix_space: false,
    add_bos_token: addBos,
    add_eos_token: false,
    clean_up_tokenization_spaces: false,
    model_max_length: number(file, 'llama.context_length', 2048),
    // Not GPT2Tokenizer: transformers 5 puts its own splits in place of those in tokenizer.json for that class.
    tokenizer_class: 'PreTrainedTokenizerFast',
    ...(typeof template === 'string' ? { chat_template: template } : {}),
  };
}

function tokenOf(file: GgufFile, tokens: string[], role: string): string | null {
  const id = number(file, `tokenizer.ggml.${role}_token_id`, null);
  return id === null ? null : (tokens[id] ?? null);
}

function texts(file: GgufFile, key: string): string[] {
  const value = file.metadata.get(key);
  if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value;
  throw new UserError(`${file.path}: expected a list of texts in ${key}, got none; use a whole GGUF file.`);
}
