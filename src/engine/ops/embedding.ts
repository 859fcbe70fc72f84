// Rows of the embedding table. The table is frozen, so there is no gradient.
import * as p from '../primitives.ts';
import { hasKernel } from '../runtime.ts';
import { run, scope, type Tensor, tensor } from '../tensor.ts';
import { check, checkFloat, checkShapes } from './check.ts';

/** ids (each in [0, V)) and weight [V, C] → [N, C]. */
export function embedding({ ids, weight }: { ids: Int32Array; weight: Tensor }): Tensor {
  const { V = 0 } = checkShapes('embedding', { weight: [weight, 'V', 'C'] });
  checkFloat('embedding', { weight });
  const wrong = ids.findIndex((id) => id < 0 || id >= V);
  check('embedding', wrong < 0, () => `expected ids in [0, ${V}), got ${ids[wrong]} at index ${wrong}`);
  return scope(() => {
    const index = tensor(ids, [ids.length]);
    if (!hasKernel('RocitEmbedding')) return p.gather(weight, index);
    return run('RocitEmbedding', { T: { type: weight.dtype } }, [weight, index]);
  });
}
