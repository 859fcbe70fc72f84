// One optimizer step: gradients of every micro-batch added up, then AdamW over all adapters.
// The loss is divided by the weight of all targets of the whole step (their number, where none has a weight of its own),
// so that micro-batches of any sizes give the same step.
import { UserError } from '../core/errors.ts';
import { deriveSeed } from '../core/rng.ts';
import type { TreeBatch } from '../data/sample.ts';
import { type Gradients, valueAndGradients } from '../engine/autograd.ts';
import { adamw } from '../engine/ops/adamw.ts';
import { linearCrossEntropy } from '../engine/ops/linear_cross_entropy.ts';
import { zerosLike } from '../engine/primitives.ts';
import { discard, own, readFloats, release, scopeAsync, type Tensor } from '../engine/tensor.ts';
import type { CausalLM } from '../models/causal_lm.ts';
import { loraParameters, replaceLoraParameters } from '../nn/lora.ts';

/** AdamW's moments by parameter name, and how many steps they have seen. */
export interface OptimizerState {
  step: number;
  m: Map<string, Tensor>;
  v: Map<string, Tensor>;
}

export interface OptimizerSettings {
  betas: readonly [number, number];
  eps: number;
  weight_decay: number;
  max_grad_norm: number;
}

export interface StepArguments {
  model: CausalLM;
  optimizer: OptimizerState;
  settings: OptimizerSettings;
  learning_rate: number;
  recompute: 'none' | 'block';
  /** Seed of the run; dropout masks depend on it, the step and the micro-batch alone. */
  seed: number;
  /** Share of the step done, in [0, 1]. */
  onProgress: (share: number) => void;
}

export interface StepResult {
  /** Weighted mean over the targets. */
  loss: number;
  num_targets: number;
  grad_norm: number;
}

/** The state before the first step. */
export function initialOptimizerState(model: CausalLM): OptimizerState {
  const zeros = () => new Map([...loraParameters(model.linears)].map(([name, t]) => [name, own(zerosLike(t))]));
  return { step: 0, m: zeros(), v: zeros() };
}

/** A step whose loss or gradient is not finite. Nothing was changed. */
export class NonFiniteStep extends UserError {
  /** Index of the micro-batch, null where only the sum over all is known. */
  readonly pack: number | null;

  constructor(message: string, pack: number | null) {
    super(message);
    this.pack = pack;
  }
}

/**
 * Runs the micro-batches of one step and updates the model's adapters and the optimizer state. Throws NonFiniteStep
 * and Interrupted with both untouched.
 */
export async function trainStep(packs: readonly TreeBatch[], args: StepArguments): Promise<StepResult> {
  const { model, optimizer } = args;
  const num_targets = packs.reduce((sum, pack) => sum + pack.edge_rows.length, 0);
  const weight = packs.reduce((sum, pack) => sum + pack.edge_weights.reduce((a, b) => a + b, 0), 0);
  return scopeAsync(async () => {
    const { losses, gradients } = await accumulate(packs, args);
    const loss = losses.reduce((a, b) => a + b, 0) / weight;
    const parameters = loraParameters(model.linears);
    const names = [...parameters.keys()];
    const bad = losses.findIndex((value) => !Number.isFinite(value));
    if (bad >= 0) throw new NonFiniteStep(`loss ${losses[bad]} in micro-batch ${bad + 1} of ${packs.length}`, bad);
    const updated = adamw({
      ...args.settings,
      params: [...parameters.values()],
      grads: [...parameters.values()].map((t) => gradients.get(t) as Tensor),
      m: names.map((name) => optimizer.m.get(name) as Tensor),
      v: names.map((name) => optimizer.v.get(name) as Tensor),
      learning_rate: args.learning_rate,
      step: optimizer.step + 1,
      grad_scale: 1 / weight,
    });
    if (updated.nonFinite !== null) {
      discard([...updated.params, ...updated.m, ...updated.v]);
      throw new NonFiniteStep(`a gradient that is not finite in ${names[updated.nonFinite]}`, null);
    }
    replaceLoraParameters(model.linears, updated.params);
    optimizer.step += 1;
    replaceAll(optimizer.m, names, updated.m);
    replaceAll(optimizer.v, names, updated.v);
    return { loss, num_targets, grad_norm: updated.grad_norm };
  });
}

function replaceAll(moments: Map<string, Tensor>, names: readonly string[], successors: readonly Tensor[]): void {
  names.forEach((name, i) => {
    release(moments.get(name) as Tensor);
    moments.set(name, own(successors[i] as Tensor));
  });
}

async function accumulate(
  packs: readonly TreeBatch[],
  args: StepArguments,
): Promise<{ losses: number[]; gradients: Gradients }> {
  const total = packs.reduce((sum, pack) => sum + pack.input_ids.length, 0);
  const losses: Tensor[] = [];
  let gradients: Gradients = new Map();
  let done = 0;
  for (const [i, pack] of packs.entries()) {
    const share = pack.input_ids.length / total;
    const base = done;
    const onProgress = (part: number) => args.onProgress(base + share * part);
    const result = await addGradients(gradients, { pack, index: i }, args, onProgress);
    done += share;
    losses.push(result.value);
    gradients = result.gradients;
  }
  return { losses: losses.map((t) => readFloats(t)[0] as number), gradients };
}

function addGradients(
  sums: Gradients,
  { pack, index }: { pack: TreeBatch; index: number },
  args: StepArguments,
  onProgress: (share: number) => void,
) {
  const { model, recompute, seed, optimizer } = args;
  // Backward takes about twice as long as forward.
  const forwardShare = 1 / 3;
  return valueAndGradients(
    async () => {
      const dropoutSeed = deriveSeed(seed, 'dropout', optimizer.step + 1, index);
      const onBlock = (share: number) => onProgress(share * forwardShare);
      const x = await model.forward(pack, { recompute, dropoutSeed, onProgress: onBlock });
      return linearCrossEntropy({ ...pack, x, weight: model.headWeight }).loss;
    },
    { sums, onProgress: (share) => onProgress(forwardShare + share * (1 - forwardShare)) },
  );
}
