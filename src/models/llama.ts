// The LLaMA family as Hugging Face stores it (model_type "llama"): pre-norm blocks, rotary positions in half-split
// order, grouped-query attention, SwiGLU, tied or untied head.
import { z } from 'zod';
import { UserError } from '../core/errors.ts';
import { breathe } from '../core/interrupt.ts';
import { recompute } from '../engine/autograd.ts';
import { embedding } from '../engine/ops/embedding.ts';
import { discard, scope, scopeAsync, type Tensor } from '../engine/tensor.ts';
import { Attention, type AttentionShape, type PackContext } from '../nn/attention.ts';
import { Linear } from '../nn/linear.ts';
import { Mlp } from '../nn/mlp.ts';
import { RmsNorm } from '../nn/norm.ts';
import { inverseFrequencies, type RopeParameters } from '../nn/rotary.ts';
import type { CausalLM, ForwardOptions, Pack } from './causal_lm.ts';

const size = z.int().positive();
const ropeSchema = z.looseObject({
  rope_type: z.string().optional(),
  type: z.string().optional(),
  rope_theta: z.number().positive().optional(),
  factor: z.number().optional(),
  low_freq_factor: z.number().optional(),
  high_freq_factor: z.number().optional(),
  original_max_position_embeddings: z.number().optional(),
});

const schema = z.looseObject({
  model_type: z.literal('llama'),
  hidden_act: z.literal('silu').default('silu'),
  hidden_size: size,
  intermediate_size: size,
  num_hidden_layers: size,
  num_attention_heads: size,
  num_key_value_heads: size.nullish(),
  head_dim: size.nullish(),
  vocab_size: size,
  max_position_embeddings: size.default(2048),
  rms_norm_eps: z.number().positive().default(1e-6),
  tie_word_embeddings: z.boolean().default(false),
  attention_bias: z.boolean().default(false),
  mlp_bias: z.boolean().default(false),
  /** transformers 4. */
  rope_theta: z.number().positive().default(10_000),
  rope_scaling: ropeSchema.nullish(),
  /** transformers 5. */
  rope_parameters: ropeSchema.nullish(),
});

/** config.json under its own key names, with head counts and rotary parameters filled in. */
export interface LlamaConfig extends z.infer<typeof schema> {
  num_key_value_heads: number;
  head_dim: number;
  rope: RopeParameters;
}

/** Checks config.json, as transformers 4 and 5 write it. `path` is for the error, which lists all wrong keys. */
export function parseConfig(json: unknown, path: string): LlamaConfig {
  const result = schema.safeParse(json);
  if (!result.success) {
    const wrong = result.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`);
    throw new UserError(
      `${path}: expected the configuration of a LLaMA model, got ${wrong.join('; ')}; use the config.json of the base model.`,
    );
  }
  const config = result.data;
  const given = config.rope_parameters ?? config.rope_scaling ?? {};
  const num_key_value_heads = config.num_key_value_heads ?? config.num_attention_heads;
  const head_dim = config.head_dim ?? config.hidden_size / config.num_attention_heads;
  if (config.num_attention_heads % num_key_value_heads !== 0) {
    throw new UserError(
      `${path}: expected num_key_value_heads to divide num_attention_heads ${config.num_attention_heads}, got ${num_key_value_heads}; use the config.json of the base model.`,
    );
  }
  if (head_dim % 2 !== 0) {
    throw new UserError(
      `${path}: expected heads of an even size, got head_dim ${head_dim} (hidden_size ${config.hidden_size}, num_attention_heads ${config.num_attention_heads}); use the config.json of the base model.`,
    );
  }
  const rope = {
    ...given,
    rope_type: given.rope_type ?? given.type ?? 'default',
    rope_theta: given.rope_theta ?? config.rope_theta,
  };
  // Refuses an unknown scaling before any weights are read.
  inverseFrequencies(head_dim, rope);
  return { ...config, num_key_value_heads, head_dim, rope };
}

/** Every tensor of the checkpoint with its shape. */
export function tensorShapes(config: LlamaConfig): Map<string, number[]> {
  const { hidden_size: C, intermediate_size: F, vocab_size: V, head_dim: D } = config;
  const [Q, KV] = [config.num_attention_heads * D, config.num_key_value_heads * D];
  const shapes = new Map<string, number[]>([['model.embed_tokens.weight', [V, C]]]);
  const linear = (path: string, out: number, inputs: number, bias: boolean) => {
    shapes.set(`${path}.weight`, [out, inputs]);
    if (bias) shapes.set(`${path}.bias`, [out]);
  };
  for (let i = 0; i < config.num_hidden_layers; i++) {
    const layer = `model.layers.${i}`;
    shapes.set(`${layer}.input_layernorm.weight`, [C]);
    linear(`${layer}.self_attn.q_proj`, Q, C, config.attention_bias);
    linear(`${layer}.self_attn.k_proj`, KV, C, config.attention_bias);
    linear(`${layer}.self_attn.v_proj`, KV, C, config.attention_bias);
    linear(`${layer}.self_attn.o_proj`, C, Q, config.attention_bias);
    shapes.set(`${layer}.post_attention_layernorm.weight`, [C]);
    linear(`${layer}.mlp.gate_proj`, F, C, config.mlp_bias);
    linear(`${layer}.mlp.up_proj`, F, C, config.mlp_bias);
    linear(`${layer}.mlp.down_proj`, C, F, config.mlp_bias);
  }
  shapes.set('model.norm.weight', [C]);
  if (!config.tie_word_embeddings) shapes.set('lm_head.weight', [V, C]);
  return shapes;
}

/** Tensors that some checkpoints carry and nobody reads: LLaMA-1's frequencies, and a head beside a tied one. */
export function ignoredTensors({ tie_word_embeddings }: LlamaConfig): RegExp[] {
  return [/\.rotary_emb\.inv_freq$/, ...(tie_word_embeddings ? [/^lm_head\.weight$/] : [])];
}

class Block {
  readonly input_layernorm: RmsNorm;
  readonly self_attn: Attention;
  readonly post_attention_layernorm: RmsNorm;
  readonly mlp: Mlp;

  constructor(layer: number, { linear, norm }: Weights, shape: AttentionShape) {
    const path = `model.layers.${layer}`;
    this.input_layernorm = norm(`${path}.input_layernorm`);
    const attention = (name: string) => linear(`${path}.self_attn.${name}`);
    this.self_attn = new Attention(
      layer,
      {
        q_proj: attention('q_proj'),
        k_proj: attention('k_proj'),
        v_proj: attention('v_proj'),
        o_proj: attention('o_proj'),
      },
      shape,
    );
    this.post_attention_layernorm = norm(`${path}.post_attention_layernorm`);
    const mlp = (name: string) => linear(`${path}.mlp.${name}`);
    this.mlp = new Mlp({ gate_proj: mlp('gate_proj'), up_proj: mlp('up_proj'), down_proj: mlp('down_proj') });
  }

  /** The branch to add and the residual stream, both [N, C], in and out; the first block has no branch yet. */
  forward([residual, branch]: Tensor[], context: PackContext): Tensor[] {
    const { self_attn, mlp } = this;
    const stream = { x: branch ?? (residual as Tensor), residual: branch ? (residual as Tensor) : null };
    const attended = this.input_layernorm.project(stream, self_attn.inputs, context.dropoutSeed);
    const branched = { x: self_attn.forward(attended.y, context), residual: attended.sum };
    const fed = this.post_attention_layernorm.project(branched, mlp.inputs, context.dropoutSeed);
    return [fed.sum, mlp.forward(fed.y, context.dropoutSeed)];
  }
}

interface Weights {
  linear: (path: string) => Linear;
  norm: (path: string) => RmsNorm;
}

/** The model over its loaded tensors, which must be those of `tensorShapes(config)`. */
export function createLlama(config: LlamaConfig, tensors: ReadonlyMap<string, Tensor>): CausalLM {
  const get = (name: string) => tensors.get(name) as Tensor;
  const linears = new Map<string, Linear>();
  const weights: Weights = {
    norm: (path) => new RmsNorm(get(`${path}.weight`), config.rms_norm_eps),
    linear(path) {
      const linear = new Linear(path, get(`${path}.weight`), tensors.get(`${path}.bias`) ?? null);
      linears.set(path, linear);
      return linear;
    },
  };
  const shape: AttentionShape = {
    num_heads: config.num_attention_heads,
    num_key_value_heads: config.num_key_value_heads,
    head_dim: config.head_dim,
    inv_freq: inverseFrequencies(config.head_dim, config.rope),
    interleaved: false,
  };
  const blocks = Array.from({ length: config.num_hidden_layers }, (_, i) => new Block(i, weights, shape));
  const norm = weights.norm('model.norm');
  const embed = get('model.embed_tokens.weight');
  return {
    max_position_embeddings: config.max_position_embeddings,
    num_hidden_layers: config.num_hidden_layers,
    linears,
    weights: [...tensors.values()],
    headWeight: config.tie_word_embeddings ? embed : get('lm_head.weight'),
    forward: (pack, options) => forward(pack, options, { blocks, norm, embed }),
  };
}

interface Parts {
  blocks: Block[];
  norm: RmsNorm;
  embed: Tensor;
}

/** The ids come from a tokenizer's file, so one outside the table is a mistake in the folder. */
function checkIds(input_ids: Int32Array, vocab_size: number): void {
  const wrong = input_ids.find((id) => id >= vocab_size);
  if (wrong === undefined) return;
  throw new UserError(
    `tokenizer: expected ids below the base model's vocab_size ${vocab_size}, got ${wrong}; use the tokenizer files that belong to this model.`,
  );
}

async function forward(pack: Pack, options: ForwardOptions, { blocks, norm, embed }: Parts): Promise<Tensor> {
  checkIds(pack.input_ids, embed.shape[0] as number);
  const context: PackContext = {
    position_ids: pack.position_ids,
    subtree_end: pack.subtree_end,
    query_start: options.cache?.query_start ?? 0,
    dropoutSeed: options.dropoutSeed,
    extendCache: options.cache?.extend ?? null,
  };
  return scopeAsync(async () => {
    let stream: Tensor[] = [embedding({ ids: pack.input_ids, weight: embed })];
    for (const [i, block] of blocks.entries()) {
      await breathe();
      const run = (inputs: Tensor[]) => scope(() => block.forward(inputs, context));
      const next = options.recompute === 'block' ? recompute(run, stream) : run(stream);
      discard(stream.filter((t) => !next.includes(t)));
      stream = next;
      options.onProgress?.((i + 1) / blocks.length);
    }
    const [residual, branch] = stream as [Tensor, Tensor];
    return norm.forward(branch, residual).y;
  });
}
