// Reads tests/goldens/ops.json: values and gradients of PyTorch in float64, written by scripts/make_op_goldens.py.
// Cases keep the file's names; arrays are flat and row-major.
import { readFileSync } from 'node:fs';

export interface OpGoldens {
  rms_norm: {
    num_rows: number;
    hidden_size: number;
    eps: number;
    x: number[];
    residual: number[] | null;
    weight: number[];
    y: number[];
    sum: number[];
    dy: number[];
    dsum: number[] | null;
    dx: number[];
  }[];
  lora_linear: {
    num_rows: number;
    in_features: number;
    x: number[];
    projections: {
      out_features: number;
      weight: number[];
      bias: number[] | null;
      lora: { r: number; scaling: number; A: number[]; B: number[]; mask: number[] | null } | null;
    }[];
    y: number[][];
    dy: number[][];
    dx: number[];
    lora_grads: ({ dA: number[]; dB: number[] } | null)[];
  }[];
  rope: {
    num_rows: number;
    num_heads: number;
    head_dim: number;
    interleaved: boolean;
    x: number[];
    position_ids: number[];
    inv_freq: number[];
    y: number[];
    dy: number[];
    dx: number[];
  }[];
  tree_attention: {
    num_queries: number;
    num_keys: number;
    num_heads: number;
    num_key_value_heads: number;
    head_dim: number;
    query_start: number;
    scale: number;
    subtree_end: number[];
    q: number[];
    k: number[];
    v: number[];
    o: number[];
    do: number[];
    dq: number[];
    dk: number[];
    dv: number[];
  }[];
  swiglu: { gate: number[]; up: number[]; y: number[]; dy: number[]; dgate: number[]; dup: number[] }[];
  linear_cross_entropy: {
    num_rows: number;
    hidden_size: number;
    vocab_size: number;
    x: number[];
    weight: number[];
    edge_rows: number[];
    edge_targets: number[];
    edge_weights: number[];
    edge_losses: number[];
    loss: number;
    dx: number[];
  }[];
  embedding: { vocab_size: number; hidden_size: number; ids: number[]; weight: number[]; y: number[] }[];
  adamw: {
    learning_rate: number;
    betas: [number, number];
    eps: number;
    weight_decay: number;
    max_grad_norm: number;
    grad_scale: number;
    start: number[][];
    steps: { grads: number[][]; grad_norm: number; params: number[][]; m: number[][]; v: number[][] }[];
  }[];
  bfloat16: { float32_bits: number[]; bfloat16_bits: number[] }[];
}

/** All cases of ops.json. */
export function readOpGoldens(): OpGoldens {
  const path = new URL('../goldens/ops.json', import.meta.url);
  const file = JSON.parse(readFileSync(path, 'utf8')) as { magic: string; version: number; cases: OpGoldens };
  if (file.magic !== 'rocit-golden-ops' || file.version !== 1) throw new Error(`${path}: not a golden of version 1`);
  return file.cases;
}

/** A list of the file as Float64Array; null stays null. */
export function float64(values: number[]): Float64Array;
export function float64(values: number[] | null): Float64Array | null;
export function float64(values: number[] | null): Float64Array | null {
  return values === null ? null : Float64Array.from(values);
}
