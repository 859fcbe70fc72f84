// What kernels take from the host beside their tensors: "none", settings and bounds that many calls share.
import type { DType } from './backend.ts';
import { backend } from './runtime.ts';
import { type Tensor, tensor, uncounted } from './tensor.ts';

const empties = new Map<DType, Tensor>();

/** The tensor of shape [0], which stands for "none". It lives as long as the process and is not counted. */
export function none(dtype: DType): Tensor {
  const known = empties.get(dtype);
  if (known !== undefined) return known;
  const made = uncounted(tensor(new Float32Array(0), [0], dtype));
  empties.set(dtype, made);
  return made;
}

/**
 * Floats that the host makes for one call of a kernel, as their bits. TensorFlow's binding leaves int32 tensors alone in
 * the host's memory: a float tensor would be copied to the GPU and back, each time waiting for all work before it.
 */
export function floatBits(values: Float32Array, shape: readonly number[]): Tensor {
  return tensor(bitsOf(values), shape);
}

function bitsOf(values: Int32Array | Float32Array): Int32Array {
  return values instanceof Int32Array ? values : new Int32Array(values.buffer, values.byteOffset, values.length);
}

const constants = new WeakMap<Int32Array | Float32Array, Tensor>();
const forgotten = new FinalizationRegistry<number>((handle) => backend().free(handle));

/**
 * What many calls of kernels take from the host alike: int32 values, or floats as their bits. Made at the first call with
 * this array, whose values may not change from then on, in the one shape that all calls have; kept as long as the array or
 * the tensor is known to anyone; not counted.
 */
export function constant(values: Int32Array | Float32Array, shape: readonly number[] = [values.length]): Tensor {
  const known = constants.get(values);
  if (known !== undefined) return known;
  const made = uncounted(tensor(bitsOf(values), shape));
  constants.set(values, made);
  forgotten.register(made, made.handle);
  return made;
}
