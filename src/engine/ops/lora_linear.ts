// Frozen linear layers with low-rank adapters (Hu et al., arXiv 2106.09685), several projections of one input:
//   y = x Wᵀ + bias + scaling · (dropout(x) Aᵀ) Bᵀ
// As PEFT does, the adapter computes in float32 over a bfloat16 base. BA and dW are never formed. Kernel and composition
// draw their dropout masks from different generators; each is a pure function of the seed.
import { needsGradient, record } from '../autograd.ts';
import * as p from '../primitives.ts';
import { hasKernel } from '../runtime.ts';
import { scope, type Tensor } from '../tensor.ts';
import {
  checkProjection,
  type LoraWeights,
  MOST_PROJECTIONS,
  type Projection,
  projectByKernel,
} from './lora_projections.ts';

/** x [N, in] → [N, out] for each projection. */
export function loraLinear(x: Tensor, projections: readonly Projection[]): Tensor[] {
  for (const projection of projections) checkProjection('lora_linear', x, projection);
  if (hasKernel('RocitLoraLinear')) return kernel(x, projections);
  return projections.map((projection) => project(x, projection));
}

function project(x: Tensor, { weight, bias, lora }: Projection): Tensor {
  const { y, z } = scope(() => {
    const product = p.matMul(x, weight, { transposeB: true });
    const base = bias === null ? product : p.add(product, bias);
    if (lora === null) return { y: base, z: null };
    const z = p.matMul(adapterInput(x, lora), lora.A, { transposeB: true });
    const update = p.mul(p.matMul(z, lora.B, { transposeB: true }), lora.scaling);
    return { y: p.cast(p.add(p.cast(base, 'float32'), update), x.dtype), z };
  });
  if (!needsGradient(x, lora?.A ?? null, lora?.B ?? null)) return y;
  if (lora === null || z === null) {
    record({ inputs: [x], outputs: [y], saved: [weight], backward: ([dy]) => [p.matMul(dy as Tensor, weight)] });
  } else {
    record({
      inputs: [x, lora.A, lora.B],
      outputs: [y],
      saved: [x, weight, z, lora.A, lora.B],
      backward: ([dy]) => gradients(dy as Tensor, { x, weight, z, lora }),
    });
  }
  return y;
}

interface Saved {
  x: Tensor;
  weight: Tensor;
  /** dropout(x) Aᵀ, [N, R] float32. */
  z: Tensor;
  lora: LoraWeights;
}

// With dz = scaling · dy B:  dB = scaling · dyᵀ z;  dA = dzᵀ dropout(x);  dx = dy W + dropout'(dz A)
function gradients(dy: Tensor, { x, weight, z, lora }: Saved): (Tensor | null)[] {
  const wide = p.mul(p.cast(dy, 'float32'), lora.scaling);
  const dB = p.matMul(wide, z, { transposeA: true });
  const dz = p.matMul(wide, lora.B);
  const dA = p.matMul(dz, adapterInput(x, lora), { transposeA: true });
  if (!x.requiresGrad) return [null, dA, dB];
  const through = p.matMul(dz, lora.A);
  const dropped = lora.dropout > 0 ? p.mul(through, keepMask(x, lora)) : through;
  const dx = p.add(p.cast(p.matMul(dy, weight), 'float32'), dropped);
  return [p.cast(dx, x.dtype), dA, dB];
}

function adapterInput(x: Tensor, lora: LoraWeights): Tensor {
  const wide = p.cast(x, 'float32');
  return lora.dropout > 0 ? p.mul(wide, keepMask(x, lora)) : wide;
}

/** 0 where a channel is dropped, else 1 / (1 − dropout): the same mask forward and backward, from the seed. */
function keepMask(x: Tensor, { dropout, seed }: LoraWeights): Tensor {
  const kept = p.greaterEqual(p.uniform(seed, x.shape), p.fill(dropout, [], 'float32'));
  return p.mul(p.cast(kept, 'float32'), 1 / (1 - dropout));
}

function kernel(x: Tensor, projections: readonly Projection[]): Tensor[] {
  const groups = Array.from({ length: Math.ceil(projections.length / MOST_PROJECTIONS) }, (_, i) =>
    projections.slice(i * MOST_PROJECTIONS, (i + 1) * MOST_PROJECTIONS),
  );
  const source = {
    name: 'RocitLoraLinear',
    attributes: {},
    inputs: [x],
    wanted: [x],
    numExtra: 0,
    givesExtra: false,
    gradientInputs: () => [x],
    gradientTail: () => [],
    numGradients: 1,
    gradients: (first: readonly Tensor[]) => [...first],
  };
  return groups.flatMap((group) => projectByKernel(source, group).y);
}
