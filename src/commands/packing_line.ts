// One line that says how well samples pack.
import type { PackSettings } from '../data/pack.ts';
import type { PackingQuality } from '../data/packing_quality.ts';

/** Steps that are packed to tell the quality: enough for two digits, a moment's work. */
export const MEASURED_STEPS = 32;

/** `packing tree: 478 → 119 tokens a sample (4.0 times fewer), 4.6 packs a step, 80 % full`, over the steps counted. */
export function packingLine(quality: PackingQuality, { strategy }: PackSettings): string {
  const { steps, samples, equivalent_tokens, tokens, packs, fill } = quality;
  const each = (count: number) => (count / samples).toFixed(0);
  const ratio = (equivalent_tokens / tokens).toFixed(1);
  const saved = tokens === equivalent_tokens ? '' : `${each(equivalent_tokens)} → `;
  const fewer = tokens === equivalent_tokens ? '' : ` (${ratio} times fewer)`;
  const packed = `${(packs / steps).toFixed(1)} packs a step, ${(100 * fill).toFixed(0)} % full`;
  return `packing ${strategy}: ${saved}${each(tokens)} tokens a sample${fewer}, ${packed}, over ${steps} ${steps === 1 ? 'step' : 'steps'}`;
}
