// A GGUF file of the llama architecture as Hugging Face names, shapes and config.json.
// llama.cpp stores the rows of attn_q and attn_k permuted for interleaved rotation; they are put back here.
import { UserError } from '../core/errors.ts';
import { type GgufFile, type GgufTensor, type GgufValue, readGgufTensor } from './gguf.ts';

/** One tensor of the model under its Hugging Face name. */
export interface LlamaTensor {
  name: string;
  shape: number[];
  /** Decodes the values, float32, row-major. */
  read(): Float32Array;
}

const TOP_NAMES: Record<string, string> = {
  'token_embd.weight': 'model.embed_tokens.weight',
  'output_norm.weight': 'model.norm.weight',
  'output.weight': 'lm_head.weight',
};

const BLOCK_NAMES: Record<string, string> = {
  attn_norm: 'input_layernorm',
  attn_q: 'self_attn.q_proj',
  attn_k: 'self_attn.k_proj',
  attn_v: 'self_attn.v_proj',
  attn_output: 'self_attn.o_proj',
  ffn_norm: 'post_attention_layernorm',
  ffn_gate: 'mlp.gate_proj',
  ffn_up: 'mlp.up_proj',
  ffn_down: 'mlp.down_proj',
};

/** config.json of the model, with the keys of transformers 4 (rope_theta) and 5 (rope_parameters). */
export function llamaConfig(file: GgufFile): Record<string, unknown> {
  const architecture = text(file, 'general.architecture');
  if (architecture !== 'llama') {
    throw new UserError(
      `${file.path}: expected the architecture llama, got ${architecture}; use a model of the LLaMA family.`,
    );
  }
  const hidden = number(file, 'llama.embedding_length');
  const heads = number(file, 'llama.attention.head_count');
  const theta = number(file, 'llama.rope.freq_base', 10000);
  const scaling = ropeScaling(file);
  const tokens = file.metadata.get('tokenizer.ggml.tokens');
  return {
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    hidden_act: 'silu',
    hidden_size: hidden,
    intermediate_size: number(file, 'llama.feed_forward_length'),
    num_hidden_layers: number(file, 'llama.block_count'),
    num_attention_heads: heads,
    num_key_value_heads: number(file, 'llama.attention.head_count_kv', heads),
    head_dim: headDim(file),
    max_position_embeddings: number(file, 'llama.context_length'),
    rms_norm_eps: shortest(number(file, 'llama.attention.layer_norm_rms_epsilon')),
    rope_theta: theta,
    rope_scaling: scaling,
    rope_parameters: { rope_theta: theta, ...(scaling ?? { rope_type: 'default' }) },
    vocab_size: Array.isArray(tokens) ? tokens.length : number(file, 'llama.vocab_size'),
    attention_bias: file.tensors.has('blk.0.attn_q.bias'),
    mlp_bias: file.tensors.has('blk.0.ffn_gate.bias'),
    tie_word_embeddings: !file.tensors.has('output.weight'),
    bos_token_id: number(file, 'tokenizer.ggml.bos_token_id', null),
    eos_token_id: number(file, 'tokenizer.ggml.eos_token_id', null),
    pad_token_id: number(file, 'tokenizer.ggml.padding_token_id', null),
    initializer_range: 0.02,
    attention_dropout: 0,
    pretraining_tp: 1,
    use_cache: true,
    torch_dtype: 'float32',
  };
}

/** All tensors of the model in the file's order; names that the architecture does not have are one error. */
export function llamaTensors(file: GgufFile): LlamaTensor[] {
  const unknown: string[] = [];
  const out: LlamaTensor[] = [];
  for (const tensor of file.tensors.values()) {
    const name = huggingFaceName(tensor.name);
    if (name === null) unknown.push(tensor.name);
    else out.push({ name, shape: tensor.shape, read: () => readUnpermuted(file, tensor) });
  }
  if (unknown.length > 0) {
    throw new UserError(
      `${file.path}: expected the tensors of a plain LLaMA model, got also ${unknown.join(', ')}; this variant is not supported.`,
    );
  }
  return out;
}

function huggingFaceName(name: string): string | null {
  const top = TOP_NAMES[name];
  if (top) return top;
  const [, layer, part = '', kind] = /^blk\.(\d+)\.(\w+)\.(weight|bias)$/.exec(name) ?? [];
  const path = BLOCK_NAMES[part];
  return path ? `model.layers.${layer}.${path}.${kind}` : null;
}

function readUnpermuted(file: GgufFile, tensor: GgufTensor): Float32Array {
  const values = readGgufTensor(file, tensor.name);
  if (/\.attn_[qk]\.(weight|bias)$/.test(tensor.name))
    return unpermuteRows(values, tensor.shape[0] ?? 1, headDim(file));
  return values;
}

/** Row 2j + half of each head goes to row half * D/2 + j: interleaved pairs become two halves. */
export function unpermuteRows(values: Float32Array, rows: number, head_dim: number): Float32Array {
  const width = values.length / rows;
  const half = head_dim / 2;
  const out = new Float32Array(values.length);
  for (let row = 0; row < rows; row++) {
    const within = row % head_dim;
    const source = row - within + 2 * (within % half) + Math.floor(within / half);
    out.set(values.subarray(source * width, (source + 1) * width), row * width);
  }
  return out;
}

function headDim(file: GgufFile): number {
  const even = number(file, 'llama.embedding_length') / number(file, 'llama.attention.head_count');
  return number(file, 'llama.attention.key_length', number(file, 'llama.rope.dimension_count', even));
}

function ropeScaling(file: GgufFile): { rope_type: string; factor: number } | null {
  const type = file.metadata.get('llama.rope.scaling.type') ?? 'none';
  if (type === 'none') return null;
  if (type === 'linear') return { rope_type: 'linear', factor: number(file, 'llama.rope.scaling.factor') };
  throw new UserError(
    `${file.path}: expected rope scaling none or linear, got ${String(type)}; use the Hugging Face folder of this model.`,
  );
}

/** The shortest decimal that is the same float32: 9.999999747378752e-6 is written 0.00001. */
function shortest(value: number): number {
  for (let digits = 1; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === Math.fround(value)) return short;
  }
  return value;
}

/** A number of the metadata; without a fallback the key is required. */
export function number(file: GgufFile, key: string): number;
export function number<T extends number | null>(file: GgufFile, key: string, fallback: T): number | T;
export function number(file: GgufFile, key: string, fallback?: number | null): number | null {
  const value = file.metadata.get(key) ?? fallback;
  if (typeof value === 'number' || value === null) return value;
  throw missing(file, key, 'a number', value);
}

/** A text of the metadata; required. */
export function text(file: GgufFile, key: string): string {
  const value = file.metadata.get(key);
  if (typeof value === 'string') return value;
  throw missing(file, key, 'a text', value);
}

function missing(file: GgufFile, key: string, what: string, value: GgufValue | undefined): UserError {
  const got = value === undefined ? 'nothing' : JSON.stringify(value)?.slice(0, 40);
  return new UserError(`${file.path}: expected ${what} in ${key}, got ${got}; use a whole GGUF file.`);
}
