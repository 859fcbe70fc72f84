// tree_attention and lora_linear in one operation.
//   y of each projection is that of tree_attention(q, k, v)
import type { Tensor } from '../tensor.ts';
import { loraLinear } from './lora_linear.ts';
import { checkProjection, hasProjectionKernel, type Projection, projectByKernel } from './lora_projections.ts';
import { attentionInputs, checkAttention, type TreeAttentionArguments, treeAttention } from './tree_attention.ts';

const NAME = 'RocitTreeAttentionLoraLinear';

export interface AttendedProjectionsArguments extends TreeAttentionArguments {
  projections: readonly Projection[];
}

/** y [N, out] of each projection. */
export function treeAttentionLoraLinear(args: AttendedProjectionsArguments): Tensor[] {
  const { q, k, v, projections } = args;
  const op = 'tree_attention_lora_linear';
  checkAttention(op, args);
  for (const projection of projections) checkProjection(op, q, projection);
  if (!hasProjectionKernel(NAME, projections) || q.shape[1] === 0) return loraLinear(treeAttention(args), projections);
  const { bounds, attributes } = attentionInputs(args);
  const source = {
    name: NAME,
    attributes,
    inputs: [q, k, v, ...bounds],
    wanted: [q, k, v],
    numExtra: 2,
    givesExtra: false,
    gradientInputs: ([out, lse]: readonly Tensor[]) => [q, k, v, out as Tensor, lse as Tensor, ...bounds],
    gradientTail: () => [],
    numGradients: 3,
    gradients: (first: readonly Tensor[]) => [...first],
  };
  return projectByKernel(source, projections).y;
}
