// LoRA on a built model: which layers carry an adapter, PEFT's initialisation, and the adapters as named parameters.
import { UserError } from '../core/errors.ts';
import { createRng } from '../core/rng.ts';
import { parameter } from '../engine/autograd.ts';
import { own, release, type Tensor, tensor } from '../engine/tensor.ts';
import type { Linear } from './linear.ts';

/** The keys of PEFT's adapter_config.json. */
export interface LoraSettings {
  r: number;
  lora_alpha: number;
  lora_dropout: number;
  /** Names matched against the end of module paths, or every linear layer but the output head. */
  target_modules: 'all-linear' | readonly string[];
  use_rslora: boolean;
}

const PARTS = ['A', 'B'] as const;

/** `lora_alpha / r`, with rsLoRA `lora_alpha / sqrt(r)` (arXiv 2312.03732). */
export function loraScaling({ r, lora_alpha, use_rslora }: LoraSettings): number {
  return lora_alpha / (use_rslora ? Math.sqrt(r) : r);
}

/**
 * Puts fresh adapters on the targeted layers: A uniform in ±1/sqrt(in) (PEFT's Kaiming uniform with a = sqrt(5)), B
 * zero, so that the model computes what it did before. A pure function of the seed.
 */
export function addLora(linears: ReadonlyMap<string, Linear>, settings: LoraSettings, seed: number): void {
  for (const path of targetPaths(linears, settings.target_modules)) {
    const linear = linears.get(path) as Linear;
    const [outFeatures = 0, inFeatures = 0] = linear.weight.shape;
    const rng = createRng(seed, 'lora_A', path);
    const bound = 1 / Math.sqrt(inFeatures);
    const A = Float32Array.from({ length: settings.r * inFeatures }, () => bound * (2 * rng.next() - 1));
    setAdapter(linear, settings, {
      A: tensor(A, [settings.r, inFeatures]),
      B: tensor(new Float32Array(outFeatures * settings.r), [outFeatures, settings.r]),
    });
  }
}

/** Puts given adapters on their layers. The names must be paths of `linears`. */
export function attachLora(
  linears: ReadonlyMap<string, Linear>,
  settings: LoraSettings,
  adapters: ReadonlyMap<string, { A: Tensor; B: Tensor }>,
): void {
  for (const [path, adapter] of adapters) setAdapter(linears.get(path) as Linear, settings, adapter);
}

function setAdapter(linear: Linear, settings: LoraSettings, { A, B }: { A: Tensor; B: Tensor }): void {
  if (linear.lora !== null) for (const part of PARTS) release(linear.lora[part]);
  linear.lora = {
    A: parameter(own(A)),
    B: parameter(own(B)),
    scaling: loraScaling(settings),
    dropout: settings.lora_dropout,
  };
}

/** The paths that `target_modules` selects, as PEFT does for a list: equal, or ending in `.name`. */
export function targetPaths(
  linears: ReadonlyMap<string, Linear>,
  target_modules: LoraSettings['target_modules'],
): string[] {
  const paths = [...linears.keys()];
  if (target_modules === 'all-linear') return paths;
  const hits = (path: string, name: string) => path === name || path.endsWith(`.${name}`);
  const unmatched = target_modules.filter((name) => !paths.some((path) => hits(path, name)));
  if (unmatched.length > 0) {
    const known = [...new Set(paths.map((path) => path.split('.').at(-1)))].join(', ');
    throw new UserError(
      `lora.target_modules: expected names of linear layers (${known}), got ${unmatched.join(', ')}; the output head and embeddings cannot carry an adapter.`,
    );
  }
  return paths.filter((path) => target_modules.some((name) => hits(path, name)));
}

/** All adapters as named parameters in a fixed order, e.g. `model.layers.0.self_attn.q_proj.lora_A.weight`. */
export function loraParameters(linears: ReadonlyMap<string, Linear>): Map<string, Tensor> {
  const parameters = new Map<string, Tensor>();
  for (const [path, { lora }] of linears) {
    if (lora !== null) for (const part of PARTS) parameters.set(`${path}.lora_${part}.weight`, lora[part]);
  }
  return parameters;
}

/** Replaces parameters by tensors of the same shapes, in the order of `loraParameters`; the old ones are freed. */
export function replaceLoraParameters(linears: ReadonlyMap<string, Linear>, successors: readonly Tensor[]): void {
  let next = 0;
  for (const { lora } of linears.values()) {
    if (lora === null) continue;
    for (const part of PARTS) {
      const successor = successors[next++];
      if (successor === undefined) throw new Error('replaceLoraParameters: too few tensors');
      release(lora[part]);
      lora[part] = parameter(own(successor));
    }
  }
}
