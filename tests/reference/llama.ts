// Float64 twin of a LLaMA with LoRA adapters, chained from the twins of the operations: logits, losses and LoRA gradients
// of one sample. It ties the operations' formulas to the goldens of transformers and PEFT. No speed.
import { embedding } from './embedding.ts';
import { linearCrossEntropy, linearCrossEntropyGrad } from './linear_cross_entropy.ts';
import type { GoldenTensor, LlamaConfig, LlamaGolden } from './llama_golden.ts';
import { type LoraLinearInput, type LoraProjection, loraLinear, loraLinearGrad } from './lora_linear.ts';
import { type RmsNormInput, rmsNorm, rmsNormGrad } from './rms_norm.ts';
import { rope, ropeGrad } from './rope.ts';
import { swiglu, swigluGrad } from './swiglu.ts';
import { treeAttention, treeAttentionGrad } from './tree_attention.ts';

/** Gradients by PEFT's names without `base_model.model.`. */
export type LoraGradients = Map<string, Float64Array>;

export interface LlamaTwin {
  config: LlamaConfig;
  weights: Map<string, GoldenTensor>;
  adapter: Map<string, GoldenTensor>;
  settings: LlamaGolden['settings'];
}

/** Inverse frequencies [head_dim / 2] with the config's scaling, rounded to float32 as transformers keeps them. */
export function inverseFrequencies(config: LlamaConfig): Float64Array {
  const scaling = config.rope_parameters ?? config.rope_scaling ?? {};
  const theta = config.rope_parameters?.rope_theta ?? config.rope_theta ?? 10000;
  const size = headDim(config);
  return Float64Array.from({ length: size / 2 }, (_, j) => {
    const plain = theta ** ((-2 * j) / size);
    const slowed = plain / (scaling.factor ?? 1);
    const type = scaling.rope_type ?? scaling.type ?? 'default';
    if (type === 'default') return Math.fround(plain);
    if (type === 'linear') return Math.fround(slowed);
    if (type !== 'llama3') throw new Error(`rope type ${type}`);
    // Turns of this pair within the original context: many stay as they are, few are slowed, between them a blend.
    const turns = (scaling.original_max_position_embeddings! * plain) / (2 * Math.PI);
    const [low, high] = [scaling.low_freq_factor!, scaling.high_freq_factor!];
    const blend = Math.min(1, Math.max(0, (turns - low) / (high - low)));
    return Math.fround((1 - blend) * slowed + blend * plain);
  });
}

function headDim(config: LlamaConfig): number {
  return config.head_dim ?? config.hidden_size / config.num_attention_heads;
}

function add(a: Float64Array, b: Float64Array): Float64Array {
  return a.map((value, i) => value + b[i]!);
}

/** One layer's or one sample's run: what it gives, and its backward from the gradient of that to the one of its input. */
interface Step {
  value: Float64Array;
  back: (gradient: Float64Array) => Float64Array;
}

/** Runs one sample's rows (all tokens) through the model; `back` of the steps collects adapter gradients in `gradients`. */
class Run {
  readonly twin: LlamaTwin;
  readonly num_rows: number;
  readonly gradients: LoraGradients = new Map();

  constructor(twin: LlamaTwin, num_rows: number) {
    this.twin = twin;
    this.num_rows = num_rows;
  }

  private projection(path: string): LoraProjection {
    const { weights, adapter, settings } = this.twin;
    const { shape, values } = weights.get(`${path}.weight`)!;
    const A = adapter.get(`${path}.lora_A.weight`);
    const B = adapter.get(`${path}.lora_B.weight`);
    const scaling = settings.lora_alpha / (settings.use_rslora ? Math.sqrt(settings.r) : settings.r);
    const lora = A && B ? { r: settings.r, A: A.values, B: B.values, scaling, mask: null } : null;
    return { out_features: shape[0]!, weight: values, bias: weights.get(`${path}.bias`)?.values ?? null, lora };
  }

  /** Linears of one input; their backward takes one gradient a linear. */
  private linears(
    x: Float64Array,
    paths: string[],
  ): { values: Float64Array[]; back: (dy: Float64Array[]) => Float64Array } {
    const projections = paths.map((path) => this.projection(path));
    const { num_rows } = this;
    const input: LoraLinearInput = { num_rows, in_features: x.length / num_rows, x, projections };
    const back = (dy: Float64Array[]): Float64Array => {
      const { dx, lora } = loraLinearGrad(input, dy);
      for (const [p, gradient] of lora.entries()) {
        if (gradient === null) continue;
        this.gradients.set(`${paths[p]}.lora_A.weight`, gradient.dA);
        this.gradients.set(`${paths[p]}.lora_B.weight`, gradient.dB);
      }
      return dx;
    };
    return { values: loraLinear(input), back };
  }

  private norm(x: Float64Array, path: string): Step {
    const { hidden_size, rms_norm_eps } = this.twin.config;
    const weight = this.twin.weights.get(`${path}.weight`)!.values;
    const input: RmsNormInput = { num_rows: this.num_rows, hidden_size, x, residual: null, weight, eps: rms_norm_eps };
    return { value: rmsNorm(input).y, back: (dy) => rmsNormGrad(input, { dy, dsum: null }).dx };
  }

  private attention(x: Float64Array, path: string): Step {
    const { num_rows } = this;
    const { config } = this.twin;
    const num_heads = config.num_attention_heads;
    const num_key_value_heads = config.num_key_value_heads ?? num_heads;
    const head_dim = headDim(config);
    const inputs = this.linears(x, [`${path}.q_proj`, `${path}.k_proj`, `${path}.v_proj`]);
    const rotation = {
      num_rows,
      head_dim,
      position_ids: Array.from({ length: num_rows }, (_, n) => n),
      inv_freq: inverseFrequencies(config),
      interleaved: false,
    };
    const q = { ...rotation, num_heads, x: inputs.values[0]! };
    const k = { ...rotation, num_heads: num_key_value_heads, x: inputs.values[1]! };
    const attention = {
      ...{ num_queries: num_rows, num_keys: num_rows, num_heads, num_key_value_heads, head_dim, query_start: 0 },
      ...{ q: rope(q), k: rope(k), v: inputs.values[2]!, scale: 1 / Math.sqrt(head_dim) },
      subtree_end: Array.from({ length: num_rows }, () => num_rows),
    };
    const output = this.linears(treeAttention(attention).o, [`${path}.o_proj`]);
    const back = (dy: Float64Array): Float64Array => {
      const { dq, dk, dv } = treeAttentionGrad(attention, output.back([dy]));
      return inputs.back([ropeGrad(q, dq), ropeGrad(k, dk), dv]);
    };
    return { value: output.values[0]!, back };
  }

  private mlp(x: Float64Array, path: string): Step {
    const inputs = this.linears(x, [`${path}.gate_proj`, `${path}.up_proj`]);
    const gated = { gate: inputs.values[0]!, up: inputs.values[1]! };
    const output = this.linears(swiglu(gated), [`${path}.down_proj`]);
    const back = (dy: Float64Array): Float64Array => {
      const { dgate, dup } = swigluGrad(gated, output.back([dy]));
      return inputs.back([dgate, dup]);
    };
    return { value: output.values[0]!, back };
  }

  private layer(x: Float64Array, path: string): Step {
    const norm1 = this.norm(x, `${path}.input_layernorm`);
    const attention = this.attention(norm1.value, `${path}.self_attn`);
    const middle = add(x, attention.value);
    const norm2 = this.norm(middle, `${path}.post_attention_layernorm`);
    const mlp = this.mlp(norm2.value, `${path}.mlp`);
    const back = (dy: Float64Array): Float64Array => {
      const dmiddle = add(dy, norm2.back(mlp.back(dy)));
      return add(dmiddle, norm1.back(attention.back(dmiddle)));
    };
    return { value: add(middle, mlp.value), back };
  }

  /** Hidden states after the final norm [T, C]; back fills `gradients`. */
  hidden(input_ids: number[]): Step {
    const { config, weights } = this.twin;
    const { vocab_size, hidden_size } = config;
    const table = weights.get('model.embed_tokens.weight')!.values;
    let x = embedding({ vocab_size, hidden_size, ids: input_ids, weight: table });
    const layers: Step[] = [];
    for (let i = 0; i < config.num_hidden_layers; i++) {
      layers.push(this.layer(x, `model.layers.${i}`));
      x = layers[i]!.value;
    }
    const norm = this.norm(x, 'model.norm');
    const back = (dy: Float64Array): Float64Array =>
      layers.reduceRight((gradient, layer) => layer.back(gradient), norm.back(dy));
    return { value: norm.value, back };
  }
}

/**
 * One sample: logits [T, V], the sum of the losses over its targets, and the LoRA gradients of `weight` times that sum.
 */
export function runLlama(
  twin: LlamaTwin,
  sample: LlamaGolden['batch'][number],
  weight: number,
): { logits: Float64Array; loss: number; gradients: LoraGradients } {
  const { vocab_size, hidden_size, tie_word_embeddings } = twin.config;
  const num_rows = sample.input_ids.length;
  const run = new Run(twin, num_rows);
  const hidden = run.hidden(sample.input_ids);
  const head = twin.weights.get(tie_word_embeddings ? 'model.embed_tokens.weight' : 'lm_head.weight')!.values;
  const projections = [{ out_features: vocab_size, weight: head, bias: null, lora: null }];
  const [logits] = loraLinear({ num_rows, in_features: hidden_size, x: hidden.value, projections });
  const targets = sample.is_target.flatMap((is, i) => (is && i > 0 ? [i] : []));
  const edges = {
    ...{ num_rows, hidden_size, vocab_size, x: hidden.value, weight: head },
    edge_rows: targets.map((i) => i - 1),
    edge_targets: targets.map((i) => sample.input_ids[i]!),
    edge_weights: targets.map(() => 1),
  };
  hidden.back(linearCrossEntropyGrad(edges, weight));
  return { logits: logits!, loss: linearCrossEntropy(edges).loss, gradients: run.gradients };
}
