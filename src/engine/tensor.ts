// Tensor: a handle to device memory with a shape and a dtype; and scopes, which free what was made inside them.
// Memory is counted by reference: the scope a tensor was made in holds one, the tape one for each saved tensor.
import { seconds } from '../core/clock.ts';
import { type Attributes, BYTES, type DType, type HostArray } from './backend.ts';
import { backend } from './runtime.ts';

export type { DType, HostArray };

let liveCount = 0;
let liveSize = 0;

export class Tensor {
  readonly shape: readonly number[];
  readonly dtype: DType;
  readonly size: number;
  /** A trainable parameter, or computed from one while the tape recorded. */
  requiresGrad = false;
  readonly #handle: number;
  #references = 1;

  constructor(handle: number, shape: readonly number[], dtype: DType) {
    this.#handle = handle;
    this.shape = shape;
    this.dtype = dtype;
    this.size = sizeOf(shape);
    liveCount += 1;
    liveSize += this.bytes;
    scopes.at(-1)?.add(this);
  }

  get bytes(): number {
    return this.size * BYTES[this.dtype];
  }

  get isDisposed(): boolean {
    return this.#references === 0;
  }

  get handle(): number {
    if (this.isDisposed) throw new Error(`tensor ${describe(this)} was used after it was freed`);
    return this.#handle;
  }

  /** Internal to retain and release. */
  count(change: 1 | -1): void {
    if (this.isDisposed)
      throw new Error(`tensor ${describe(this)} was ${change > 0 ? 'kept' : 'freed'} after it was freed`);
    this.#references += change;
    if (!this.isDisposed) return;
    backend().free(this.#handle);
    liveCount -= 1;
    liveSize -= this.bytes;
  }
}

const scopes: Set<Tensor>[] = [];

/** Copies host values to the device; 'bfloat16' rounds float32 values to nearest even. */
export function tensor(values: HostArray, shape: readonly number[], dtype?: DType): Tensor {
  const hostType = hostTypeOf(values);
  if (sizeOf(shape) !== values.length) {
    throw new Error(`tensor: expected ${sizeOf(shape)} values for shape [${shape}], got ${values.length}`);
  }
  const target = dtype ?? hostType;
  if (target === hostType || (target === 'bool' && hostType === 'uint8')) {
    return new Tensor(backend().create(values, shape, target), shape, target);
  }
  return scope(() => run('Cast', castAttributes(hostType, target), [tensor(values, shape)]));
}

/** Moves a tensor out of all scopes and out of the counts: it lives as long as its owner says. */
export function uncounted(t: Tensor): Tensor {
  liveCount -= 1;
  liveSize -= t.bytes;
  return own(t);
}

/** A copy of the values on the host; bfloat16 comes back as float32. */
export function read(t: Tensor): HostArray {
  if (t.dtype === 'bfloat16') return readAs(t, 'float32');
  return t.dtype === 'uint8' ? Uint8Array.from(readAs(t, 'int32')) : backend().read(t.handle);
}

/** For dtypes that the binding cannot read. */
function readAs(t: Tensor, dtype: DType): HostArray {
  return scope(() => backend().read(run('Cast', castAttributes(t.dtype, dtype), [t]).handle));
}

/** The float values of a float32 or bfloat16 tensor. */
export function readFloats(t: Tensor): Float32Array {
  const values = read(t);
  if (!(values instanceof Float32Array)) throw new Error(`readFloats: expected a float tensor, got ${t.dtype}`);
  return values;
}

/** An operation that was run; times as `seconds()` has them. */
export interface RunOperation {
  name: string;
  inputs: readonly Tensor[];
  outputs: readonly Tensor[];
  start: number;
  end: number;
  /** What our kernel took of that time: 0 for operations of the library, null where that is unknown. */
  compute: number | null;
}

let observer: ((operation: RunOperation) => void) | null = null;

/** Hands every operation to `next` once it has run; null ends that. */
export function observeOperations(next: typeof observer): void {
  observer = next;
  computedBefore = null;
}

/** Runs one operation of the backend. Its error comes back with the operation's name and the shapes. */
export function runMany(name: string, attributes: Attributes, inputs: readonly Tensor[], numOutputs: number): Tensor[] {
  const handles = inputs.map((t) => t.handle);
  if (observer === null) return execute(name, attributes, inputs, handles, numOutputs);
  computedBefore ??= backend().computeSeconds();
  const start = seconds();
  const outputs = execute(name, attributes, inputs, handles, numOutputs);
  const end = seconds();
  observer({ name, inputs, outputs, start, end, compute: computeSince() });
  return outputs;
}

/** What `computeSeconds` said last; only operations let it grow. */
let computedBefore: number | null = null;

function computeSince(): number | null {
  const now = backend().computeSeconds();
  const compute = now === null || computedBefore === null ? null : now - computedBefore;
  computedBefore = now;
  return compute;
}

function execute(
  name: string,
  attributes: Attributes,
  inputs: readonly Tensor[],
  handles: readonly number[],
  numOutputs: number,
): Tensor[] {
  try {
    return backend()
      .execute(name, attributes, handles, numOutputs)
      .map((output) => new Tensor(output.handle, output.shape, output.dtype));
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new Error(`${name}(${inputs.map(describe).join(', ')}): ${message}`, { cause: error });
  }
}

export function run(name: string, attributes: Attributes, inputs: readonly Tensor[]): Tensor {
  return runMany(name, attributes, inputs, 1)[0] as Tensor;
}

export function castAttributes(from: DType, to: DType): Attributes {
  return { SrcT: { type: from }, DstT: { type: to }, Truncate: false };
}

/**
 * Frees every tensor made by `fn`, except those it returns (a tensor, or any nesting of arrays, maps and plain
 * objects of them), which pass to the enclosing scope, and those retained.
 */
export function scope<T>(fn: () => T): T {
  const made = open();
  let result: T | undefined;
  try {
    result = fn();
    return result;
  } finally {
    close(made, result);
  }
}

/** As `scope`, for work that yields to the event loop. Only one such flow may use the engine at a time. */
export async function scopeAsync<T>(fn: () => Promise<T>): Promise<T> {
  const made = open();
  let result: T | undefined;
  try {
    result = await fn();
    return result;
  } finally {
    close(made, result);
  }
}

function open(): Set<Tensor> {
  const made = new Set<Tensor>();
  scopes.push(made);
  return made;
}

function close(made: Set<Tensor>, result: unknown): void {
  if (scopes.pop() !== made) throw new Error('scopes were closed out of order: two flows use the engine at once');
  const outer = scopes.at(-1);
  const kept = new Set<Tensor>();
  collectTensors(result, kept);
  for (const t of made) {
    if (!kept.has(t)) t.count(-1);
    else outer?.add(t);
  }
}

function collectTensors(value: unknown, to: Set<Tensor>): void {
  if (value instanceof Tensor) to.add(value);
  else if (Array.isArray(value)) for (const item of value) collectTensors(item, to);
  else if (value instanceof Map) for (const [key, item] of value) collectTensors([key, item], to);
  else if (value !== null && typeof value === 'object' && Object.getPrototypeOf(value) === Object.prototype) {
    for (const item of Object.values(value)) collectTensors(item, to);
  }
}

/** Keeps a tensor beyond its scope; pair with `release`. */
export function retain(t: Tensor): Tensor {
  t.count(1);
  return t;
}

/** Hands one reference to the innermost scope: the way back from `retain` and `own`. */
export function adopt(t: Tensor): Tensor {
  const made = scopes.at(-1);
  if (made?.has(t)) t.count(-1);
  else made?.add(t);
  return t;
}

/** Moves a tensor out of all scopes: its owner must `release` it. */
export function own(t: Tensor): Tensor {
  for (const made of scopes) if (made.delete(t)) return t;
  return t;
}

/** Gives up tensors before their scope ends; the tape keeps those it saved. */
export function discard(tensors: readonly Tensor[]): void {
  for (const t of tensors) release(own(t));
}

export function release(t: Tensor): void {
  t.count(-1);
}

/** Tensors that hold device memory now. */
export function liveTensors(): number {
  return liveCount;
}

/** Bytes of the tensors that hold device memory now; views count like copies. */
export function liveBytes(): number {
  return liveSize;
}

export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, n) => product * n, 1);
}

/** `float32[4, 8]`, for messages. */
export function describe(t: Tensor): string {
  return `${t.dtype}[${t.shape.join(', ')}]`;
}

function hostTypeOf(values: HostArray): DType {
  if (values instanceof Float32Array) return 'float32';
  return values instanceof Int32Array ? 'int32' : 'uint8';
}
