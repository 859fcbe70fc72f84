// The tape: operations record how to run backwards; walking back frees what each of them saved as soon as it was used.
import { breathe } from '../core/interrupt.ts';
import * as p from './primitives.ts';
import { adopt, discard, release, retain, scope, scopeAsync, type Tensor } from './tensor.ts';

/** Gradients of the outputs (null where none arrived) → gradients of the inputs (null where none is needed). */
export type Backward = (gradients: (Tensor | null)[], before: (t: Tensor) => Tensor | null) => (Tensor | null)[];

interface Node {
  inputs: readonly (Tensor | null)[];
  outputs: readonly Tensor[];
  saved: readonly Tensor[];
  /** Inputs whose gradient so far `backward` asks `before` for and adds to: it returns the new sums. */
  addsTo?: readonly Tensor[];
  backward: Backward;
}

/** Gradient of each parameter, in its shape and dtype. */
export type Gradients = Map<Tensor, Tensor>;

let tape: Node[] | null = null;

/** Marks a tensor as trainable. */
export function parameter(t: Tensor): Tensor {
  t.requiresGrad = true;
  return t;
}

/** Whether a tape is recording and any of these needs a gradient; otherwise an operation need not save anything. */
export function needsGradient(...inputs: (Tensor | null)[]): boolean {
  return tape !== null && inputs.some((t) => t?.requiresGrad === true);
}

/** Records an operation. `saved` is all that `backward` reads; it lives until that has run. */
export function record(node: Node): void {
  if (!needsGradient(...node.inputs)) return;
  for (const t of node.saved) retain(t);
  for (const t of node.outputs) t.requiresGrad = true;
  tape?.push(node);
}

function withTape<T>(replacement: Node[], fn: () => T): T {
  const outer = tape;
  tape = replacement;
  try {
    return fn();
  } finally {
    tape = outer;
  }
}

export interface BackwardOptions {
  /** Gradients of earlier calls, to which those of this one are added; they are used up. */
  sums?: Gradients;
  /** Called after each operation that was run backwards, with the share done in [0, 1]. */
  onProgress?: (share: number) => void;
}

/**
 * The value of the scalar that `fn` computes and its gradient with respect to every parameter it used. Breathes
 * between operations, so that signals and progress are served during long steps.
 */
export async function valueAndGradients(
  fn: () => Promise<Tensor>,
  { sums = new Map(), onProgress }: BackwardOptions = {},
): Promise<{ value: Tensor; gradients: Gradients }> {
  if (tape !== null) throw new Error('valueAndGradients: a tape is recording already');
  return scopeAsync(async () => {
    const nodes: Node[] = [];
    const gradients = takeOver(sums);
    tape = nodes;
    try {
      const value = await fn();
      tape = null;
      if (!value.requiresGrad) throw new Error('valueAndGradients: the value depends on no parameter');
      accumulate(gradients, value, p.fill(1, value.shape, value.dtype));
      const total = nodes.length;
      for (let node = nodes.pop(); node !== undefined; node = nodes.pop()) {
        stepBack(node, gradients);
        onProgress?.(1 - nodes.length / total);
        await breathe();
      }
      return { value, gradients: handOver(gradients) };
    } finally {
      tape = null;
      abandon(nodes, gradients);
    }
  });
}

/** Gives up what a walk that was cut short still holds. */
function abandon(nodes: readonly Node[], gradients: Gradients): void {
  for (const node of nodes) node.saved.forEach(release);
  for (const gradient of gradients.values()) release(gradient);
}

/** Runs a node backwards, moving gradients from its outputs to its inputs. */
function stepBack(node: Node, gradients: Gradients): void {
  const incoming = node.outputs.map((t) => gradients.get(t) ?? null);
  for (const t of node.outputs) gradients.delete(t);
  try {
    scope(() => {
      if (incoming.every((g) => g === null)) return;
      const outgoing = node.backward(incoming, (t) => gradients.get(t) ?? null);
      node.inputs.forEach((input, i) => {
        const gradient = outgoing[i];
        if (!input?.requiresGrad || !gradient) return;
        if (node.addsTo?.includes(input)) replace(gradients, input, gradient);
        else accumulate(gradients, input, gradient);
      });
    });
  } finally {
    for (const g of incoming) if (g !== null) release(g);
    node.saved.forEach(release);
  }
}

function accumulate(gradients: Gradients, t: Tensor, gradient: Tensor): void {
  const before = gradients.get(t);
  if (before === undefined) replace(gradients, t, gradient);
  else scope(() => replace(gradients, t, p.add(before, gradient)));
}

function replace(gradients: Gradients, t: Tensor, sum: Tensor): void {
  const before = gradients.get(t);
  gradients.set(t, retain(sum));
  if (before !== undefined) release(before);
}

/** A map that holds a reference for each of its entries, which leave their scope. */
function takeOver(gradients: Gradients): Gradients {
  const taken = new Map(gradients);
  for (const gradient of taken.values()) retain(gradient);
  discard([...new Set(taken.values())]);
  return taken;
}

/** The map's references pass to the enclosing scope. */
function handOver(gradients: Gradients): Gradients {
  const handed = new Map(gradients);
  for (const gradient of gradients.values()) adopt(gradient);
  gradients.clear();
  return handed;
}

/**
 * Runs `fn` now without saving anything and again when its gradient is needed: one more forward for the memory of
 * everything inside. `fn` must be a pure function of its inputs and of parameters.
 */
export function recompute(fn: (inputs: Tensor[]) => Tensor[], inputs: readonly Tensor[]): Tensor[] {
  if (tape === null) return fn([...inputs]);
  const probe: Node[] = [];
  let outputs: Tensor[];
  try {
    outputs = withTape(probe, () => fn([...inputs]));
  } finally {
    abandon(probe, new Map());
  }
  const produced = new Set(probe.flatMap((node) => node.outputs));
  const parameters = [...new Set(probe.flatMap((node) => node.inputs))].filter(
    (t): t is Tensor => t?.requiresGrad === true && !produced.has(t) && !inputs.includes(t),
  );
  // A tensor that comes in twice has one gradient.
  const wanted = [...new Set([...inputs, ...parameters])];
  record({
    inputs: wanted,
    outputs,
    saved: inputs,
    addsTo: parameters,
    backward(incoming, before) {
      const gradients: Gradients = new Map();
      for (const t of parameters) {
        const sum = before(t);
        if (sum !== null) replace(gradients, t, sum);
      }
      const sums = rerun(() => fn([...inputs]), incoming, gradients);
      return wanted.map((t) => sums.get(t) ?? null);
    },
  });
  return outputs;
}

/** Adds to the gradients, which are used up. */
function rerun(fn: () => Tensor[], incoming: (Tensor | null)[], gradients: Gradients): Gradients {
  const nodes: Node[] = [];
  try {
    const outputs = withTape(nodes, fn);
    outputs.forEach((t, i) => {
      const gradient = incoming[i];
      if (gradient) accumulate(gradients, t, gradient);
    });
    for (let node = nodes.pop(); node !== undefined; node = nodes.pop()) stepBack(node, gradients);
    return handOver(gradients);
  } finally {
    abandon(nodes, gradients);
  }
}
