// A LLaMA of two layers with random weights and a tokenizer of bytes and a few words, as a Hugging Face folder: for
// tests, CI and trying the tool without a download. It knows nothing, but learns.
import { join } from 'node:path';
import { writeFileAtomic } from '../core/files.ts';
import { createRng } from '../core/rng.ts';
import { bytesOf, type TensorToWrite, writeSafetensors } from './safetensors.ts';

export interface TinyLlamaOptions {
  seed: number;
  tie_word_embeddings: boolean;
  num_key_value_heads: number;
  /** Name → text of tokenizer files in place of our own, and how many tokens they know. */
  tokenizer: { files: Record<string, string>; vocab_size: number } | null;
}

const SHAPE = { hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 4, head_dim: 8 };
const SPECIAL_TOKENS = ['<|endoftext|>', '<|im_start|>', '<|im_end|>'];
const CHAT_TEMPLATE =
  "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

/** Words that are one token each with the blank before them, so that prompts of roles are a third as long as in bytes. */
const WORDS =
  'the you a and are to of You or your personality answer that is Your speaking role model assigned not in do for with one be when on must always only an s t too remember questions please every verbose traits style some show should polite language intelligence imitate fully formal expose description catchphrases artificial accurately Now who as I my at love it what all about by but first will from each his her he she they we have has had was were this there which would could said like out up so no if me time know good well under through their them than then can into over down back two old never little once again';

/** Writes the folder's files. The same options give the same bytes. */
export function writeTinyLlama(folder: string, options: TinyLlamaOptions): void {
  const tokenizer = options.tokenizer ?? byteTokenizer();
  const config = {
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    ...SHAPE,
    num_key_value_heads: options.num_key_value_heads,
    vocab_size: tokenizer.vocab_size,
    max_position_embeddings: 4096,
    hidden_act: 'silu',
    rms_norm_eps: 1e-5,
    rope_theta: 10_000,
    tie_word_embeddings: options.tie_word_embeddings,
    attention_bias: false,
    mlp_bias: false,
    bos_token_id: 1,
    eos_token_id: 2,
    torch_dtype: 'float32',
  };
  writeSafetensors(join(folder, 'model.safetensors'), tensors(options, tokenizer.vocab_size), { format: 'pt' });
  writeFileAtomic(join(folder, 'config.json'), `${JSON.stringify(config, null, 2)}\n`);
  for (const [name, text] of Object.entries(tokenizer.files)) writeFileAtomic(join(folder, name), text);
}

function tensors(options: TinyLlamaOptions, vocab_size: number): TensorToWrite[] {
  const { hidden_size: C, intermediate_size: F, num_hidden_layers, num_attention_heads, head_dim: D } = SHAPE;
  const [Q, KV] = [num_attention_heads * D, options.num_key_value_heads * D];
  const matrix = (name: string, out: number, inputs: number, std = inputs ** -0.5) =>
    float32(name, [out, inputs], normals(options.seed, name, out * inputs, std));
  const norm = (name: string) => float32(name, [C], new Float32Array(C).fill(1));
  const block = (i: number): TensorToWrite[] => {
    const path = `model.layers.${i}`;
    return [
      norm(`${path}.input_layernorm.weight`),
      matrix(`${path}.self_attn.q_proj.weight`, Q, C),
      matrix(`${path}.self_attn.k_proj.weight`, KV, C),
      matrix(`${path}.self_attn.v_proj.weight`, KV, C),
      matrix(`${path}.self_attn.o_proj.weight`, C, Q),
      norm(`${path}.post_attention_layernorm.weight`),
      matrix(`${path}.mlp.gate_proj.weight`, F, C),
      matrix(`${path}.mlp.up_proj.weight`, F, C),
      matrix(`${path}.mlp.down_proj.weight`, C, F),
    ];
  };
  const head = options.tie_word_embeddings ? [] : [matrix('lm_head.weight', vocab_size, C)];
  const blocks = Array.from({ length: num_hidden_layers }, (_, i) => block(i)).flat();
  return [matrix('model.embed_tokens.weight', vocab_size, C, 0.1), ...blocks, norm('model.norm.weight'), ...head];
}

function normals(seed: number, name: string, count: number, std: number): Float32Array {
  const rng = createRng(seed, 'tiny_llama', name);
  return Float32Array.from({ length: count }, () => rng.normal() * std);
}

function float32(name: string, shape: number[], values: Float32Array): TensorToWrite {
  return { name, dtype: 'F32', shape, data: bytesOf(values) };
}

/** Byte-level BPE: the three special tokens, every byte, then the words, each grown letter by letter. */
function byteTokenizer(): { files: Record<string, string>; vocab_size: number } {
  const merges = mergesOf(WORDS.split(' '));
  const tokens = [...SPECIAL_TOKENS, ...byteCharacters(), ...merges.map(([left, right]) => left + right)];
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true };
  const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
  const tokenizer = {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: SPECIAL_TOKENS.map((content, id) => ({ id, content, ...flags })),
    normalizer: null,
    pre_tokenizer: byteLevel,
    post_processor: null,
    decoder: byteLevel,
    model: {
      type: 'BPE',
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges: merges.map((pair) => pair.join(' ')),
    },
  };
  const config = {
    bos_token: '<|im_start|>',
    eos_token: '<|im_end|>',
    unk_token: '<|endoftext|>',
    pad_token: '<|im_end|>',
    chat_template: CHAT_TEMPLATE,
    clean_up_tokenization_spaces: false,
    model_max_length: 4096,
    tokenizer_class: 'PreTrainedTokenizerFast',
  };
  const text = (value: unknown) => `${JSON.stringify(value, null, 2)}\n`;
  return {
    files: { 'tokenizer.json': text(tokenizer), 'tokenizer_config.json': text(config) },
    vocab_size: tokens.length,
  };
}

/** What joins a blank (written Ġ) and the letters of each word from the left, every pair once. */
function mergesOf(words: readonly string[]): [string, string][] {
  const merges = new Map<string, [string, string]>();
  for (const word of words) {
    let left = 'Ġ';
    for (const letter of word) {
      if (!merges.has(left + letter)) merges.set(left + letter, [left, letter]);
      left += letter;
    }
  }
  return [...merges.values()];
}

/** GPT-2's printable character for each byte, in the order of bytes. */
function byteCharacters(): string[] {
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => {
    const isPrintable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    return String.fromCodePoint(isPrintable ? byte : next++);
  });
}
