// Inverse frequencies of rotary embeddings: plain, linear scaling and LLaMA 3's (Hugging Face's rope_type names).
import { UserError } from '../core/errors.ts';

export interface RopeParameters {
  rope_type: string;
  rope_theta: number;
  factor?: number | undefined;
  low_freq_factor?: number | undefined;
  high_freq_factor?: number | undefined;
  original_max_position_embeddings?: number | undefined;
}

/** rotary_dim / 2 values: the angle of pair i at a position is position · inv_freq[i]. */
export function inverseFrequencies(rotary_dim: number, rope: RopeParameters): Float32Array {
  const plain = Float32Array.from({ length: rotary_dim / 2 }, (_, i) => rope.rope_theta ** ((-2 * i) / rotary_dim));
  switch (rope.rope_type) {
    case 'default':
      return plain;
    case 'linear':
      return plain.map((frequency) => frequency / need(rope, 'factor'));
    case 'llama3':
      return plain.map((frequency) => llama3Frequency(frequency, rope));
    default:
      throw new UserError(
        `config.json: expected rope_type default, linear or llama3, got ${rope.rope_type}; this model's position scaling is not supported.`,
      );
  }
}

// Long wavelengths are stretched by the factor, short ones kept, those between interpolated (Llama 3.1 release).
function llama3Frequency(frequency: number, rope: RopeParameters): number {
  const factor = need(rope, 'factor');
  const low = need(rope, 'low_freq_factor');
  const high = need(rope, 'high_freq_factor');
  const context = need(rope, 'original_max_position_embeddings');
  const wavelength = (2 * Math.PI) / frequency;
  if (wavelength < context / high) return frequency;
  if (wavelength > context / low) return frequency / factor;
  const smooth = (context / wavelength - low) / (high - low);
  return ((1 - smooth) * frequency) / factor + smooth * frequency;
}

function need(rope: RopeParameters, key: keyof RopeParameters): number {
  const value = rope[key];
  if (typeof value !== 'number') {
    throw new UserError(
      `config.json: expected a number in rope parameters at ${key} for rope_type ${rope.rope_type}, got ${value}; restore the file.`,
    );
  }
  return value;
}
