// Reads a folder tests/goldens/llama_<case>, written by scripts/make_goldens.py, with a small safetensors reader of its own.
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { bfloat16Value } from './bfloat16.ts';

/** golden.json. Losses are natural logarithms; loss is the mean over the batch's targets, sample_losses are sums. */
export interface LlamaGolden {
  magic: string;
  version: number;
  case: string;
  settings: { r: number; lora_alpha: number; use_rslora: boolean };
  batch: { input_ids: number[]; is_target: number[] }[];
  num_targets: number;
  loss: number;
  sample_losses: number[];
  sample_losses_base: number[];
  adamw: {
    learning_rate: number;
    betas: [number, number];
    eps: number;
    weight_decay: number;
    max_grad_norm: number;
    losses: number[];
    losses_float32: number[];
    grad_norms: number[];
  };
  float32_error: { logits: number; grads: number; loss: number; adamw_losses: number; final: number };
}

/** config.json of transformers 5, 4 or LLaMA-1. */
export interface LlamaConfig {
  vocab_size: number;
  hidden_size: number;
  intermediate_size: number;
  num_hidden_layers: number;
  num_attention_heads: number;
  num_key_value_heads?: number;
  head_dim?: number;
  rms_norm_eps: number;
  tie_word_embeddings: boolean;
  rope_theta?: number;
  rope_scaling?: RopeScaling | null;
  rope_parameters?: RopeScaling & { rope_theta: number };
}

export interface RopeScaling {
  rope_type?: string;
  type?: string;
  factor?: number;
  low_freq_factor?: number;
  high_freq_factor?: number;
  original_max_position_embeddings?: number;
}

export interface GoldenTensor {
  shape: number[];
  values: Float64Array;
}

export interface LlamaFolder {
  golden: LlamaGolden;
  config: LlamaConfig;
  /** Of the model's files together. */
  weights: Map<string, GoldenTensor>;
  /** By PEFT's names without `base_model.model.`. */
  adapter: Map<string, GoldenTensor>;
  /** logits.<sample> [T, V], logits_base.<sample>, grad.<name>, final.<name>. */
  expected: Map<string, GoldenTensor>;
}

function float16Value(bits: number): number {
  const exponent = (bits >> 10) & 31;
  const fraction = (bits & 1023) / 1024;
  const size = exponent === 0 ? fraction * 2 ** -14 : (1 + fraction) * 2 ** (exponent - 15);
  return bits & 0x8000 ? -size : size;
}

const READERS: Record<string, { bytes: number; value: (view: DataView, at: number) => number }> = {
  F32: { bytes: 4, value: (view, at) => view.getFloat32(at, true) },
  F16: { bytes: 2, value: (view, at) => float16Value(view.getUint16(at, true)) },
  BF16: { bytes: 2, value: (view, at) => bfloat16Value(view.getUint16(at, true)) },
};

/** All tensors of one safetensors file, widened to float64. */
export function readTensors(path: string): Map<string, GoldenTensor> {
  const file = readFileSync(path);
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const headerBytes = Number(view.getBigUint64(0, true));
  const header = JSON.parse(file.toString('utf8', 8, 8 + headerBytes)) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >;
  const tensors = new Map<string, GoldenTensor>();
  for (const [name, entry] of Object.entries(header)) {
    if (name === '__metadata__') continue;
    const { bytes, value } = READERS[entry.dtype]!;
    const [begin, end] = entry.data_offsets;
    const values = Float64Array.from({ length: (end - begin) / bytes }, (_, i) =>
      value(view, 8 + headerBytes + begin + i * bytes),
    );
    tensors.set(name, { shape: entry.shape, values });
  }
  return tensors;
}

/** Names of the cases, `gqa_tied` and so on. */
export function llamaCases(): string[] {
  const folders = readdirSync(new URL('../goldens/', import.meta.url)).filter((name) => name.startsWith('llama_'));
  return folders.map((name) => name.slice('llama_'.length)).sort();
}

/** Reads one case whole. */
export function readLlamaFolder(name: string): LlamaFolder {
  const folder = fileURLToPath(new URL(`../goldens/llama_${name}/`, import.meta.url));
  const golden = JSON.parse(readFileSync(`${folder}golden.json`, 'utf8')) as LlamaGolden;
  if (golden.magic !== 'rocit-golden-llama' || golden.version !== 1) throw new Error(`${folder}: not of version 1`);
  const files = readdirSync(`${folder}model`).filter((file) => file.endsWith('.safetensors'));
  const adapter = [...readTensors(`${folder}adapter/adapter_model.safetensors`)];
  return {
    golden,
    config: JSON.parse(readFileSync(`${folder}model/config.json`, 'utf8')) as LlamaConfig,
    weights: new Map(files.flatMap((file) => [...readTensors(`${folder}model/${file}`)])),
    adapter: new Map(adapter.map(([key, tensor]) => [key.replace('base_model.model.', ''), tensor])),
    expected: readTensors(`${folder}golden.safetensors`),
  };
}
