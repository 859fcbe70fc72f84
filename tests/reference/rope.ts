// Float64 twin of rope: rotates pairs of a head's channels by position · inv_freq, half-split (LLaMA in Hugging Face's
// layout) or interleaved (ChatGLM2), over the first 2 · inv_freq.length channels; the others pass. arXiv 2104.09864.

/** x is [N, H, D] = [num_rows, num_heads, head_dim]; position_ids [N]; inv_freq [rotary_dim / 2] with rotary_dim <= D. */
export interface RopeInput {
  num_rows: number;
  num_heads: number;
  head_dim: number;
  x: Float64Array;
  position_ids: ArrayLike<number>;
  inv_freq: ArrayLike<number>;
  /** true: channels 2j and 2j + 1 form pair j; false: channels j and j + rotary_dim / 2 do. */
  interleaved: boolean;
}

function rotate(input: RopeInput, values: Float64Array, direction: 1 | -1): Float64Array {
  const { num_rows, num_heads, head_dim, position_ids, inv_freq, interleaved } = input;
  const out = values.slice();
  for (let n = 0; n < num_rows; n++) {
    for (let h = 0; h < num_heads; h++) {
      const start = (n * num_heads + h) * head_dim;
      for (let j = 0; j < inv_freq.length; j++) {
        const angle = position_ids[n]! * inv_freq[j]!;
        const first = start + (interleaved ? 2 * j : j);
        const second = first + (interleaved ? 1 : inv_freq.length);
        const cos = Math.cos(angle);
        const sin = direction * Math.sin(angle);
        out[first] = values[first]! * cos - values[second]! * sin;
        out[second] = values[second]! * cos + values[first]! * sin;
      }
    }
  }
  return out;
}

/** y [N, H, D]. */
export function rope(input: RopeInput): Float64Array {
  return rotate(input, input.x, 1);
}

/** dx [N, H, D] for dy: the inverse rotation. */
export function ropeGrad(input: RopeInput, dy: Float64Array): Float64Array {
  return rotate(input, dy, -1);
}
