// Float64 twin of adamw: one step over a list of tensors, as PyTorch's clip_grad_norm_ and AdamW take it.
// Decoupled weight decay: Loshchilov and Hutter, arXiv 1711.05101. A non-finite gradient changes nothing.

/** Lists of equal length; params[i], grads[i], m[i], v[i] have the same size. `step` counts from 1. */
export interface AdamwInput {
  params: Float64Array[];
  grads: Float64Array[];
  m: Float64Array[];
  v: Float64Array[];
  learning_rate: number;
  betas: readonly [number, number];
  eps: number;
  weight_decay: number;
  /** Largest global norm of the scaled gradients; <= 0: no clipping. */
  max_grad_norm: number;
  step: number;
  /** Gradients are multiplied by it first. */
  grad_scale: number;
}

export interface AdamwOutput {
  params: Float64Array[];
  m: Float64Array[];
  v: Float64Array[];
  /** Euclidean norm of all scaled gradients together, before clipping. */
  grad_norm: number;
  /** Index of the first tensor with a non-finite gradient, or −1; when not −1, params, m and v are copies of the input. */
  first_bad: number;
}

// PyTorch adds it to the norm, so that gradients of norm 0 divide by something; kept because the goldens come from there.
const CLIP_EPS = 1e-6;

/** New arrays; the input is left as it is. */
export function adamw(input: AdamwInput): AdamwOutput {
  const grads = input.grads.map((grad) => grad.map((g) => g * input.grad_scale));
  let squares = 0;
  for (const grad of grads) for (const g of grad) squares += g * g;
  const grad_norm = Math.sqrt(squares);
  const [params, m, v] = [input.params, input.m, input.v].map((list) => list.map((x) => x.slice()));
  const first_bad = grads.findIndex((grad) => grad.some((g) => !Number.isFinite(g)));
  const output = { params: params!, m: m!, v: v!, grad_norm, first_bad };
  if (first_bad !== -1) return output;

  const clip = input.max_grad_norm > 0 ? Math.min(1, input.max_grad_norm / (grad_norm + CLIP_EPS)) : 1;
  const [beta1, beta2] = input.betas;
  const correction1 = 1 - beta1 ** input.step;
  const correction2 = 1 - beta2 ** input.step;
  grads.forEach((grad, t) => {
    grad.forEach((raw, i) => {
      const g = raw * clip;
      const m1 = beta1 * output.m[t]![i]! + (1 - beta1) * g;
      const v1 = beta2 * output.v[t]![i]! + (1 - beta2) * g * g;
      const decayed = output.params[t]![i]! * (1 - input.learning_rate * input.weight_decay);
      output.m[t]![i] = m1;
      output.v[t]![i] = v1;
      output.params[t]![i] =
        decayed - (input.learning_rate * (m1 / correction1)) / (Math.sqrt(v1 / correction2) + input.eps);
    });
  });
  return output;
}
