// What the engine needs from the library below it: operations by TensorFlow's names on opaque integer handles.

/** float16 only names a file's values; no tensor has it. */
export type DType = 'float32' | 'bfloat16' | 'float16' | 'int32' | 'uint8' | 'bool';
export type HostArray = Float32Array | Int32Array | Uint8Array;

/** An attribute of an operation. Types and shapes are tagged, since they look like numbers and lists. */
export type Attribute = number | boolean | string | { float: number } | { type: DType } | { shape: readonly number[] };
export type Attributes = Record<string, Attribute>;

export interface Output {
  handle: number;
  shape: number[];
  dtype: DType;
}

export interface Backend {
  readonly name: 'tensorflow' | 'tfjs';
  readonly device: 'cpu' | 'gpu';
  /** Version of TensorFlow, null on tfjs's own CPU backend. */
  readonly version: string | null;
  /** Identifies the build of our operations, null without them. */
  readonly kernelsBuild: string | null;
  /** Operations of our own that are registered. */
  readonly kernels: ReadonlySet<string>;
  create(values: HostArray, shape: readonly number[], dtype: DType): number;
  read(handle: number): HostArray;
  free(handle: number): void;
  /** How long our own operations themselves have computed so far; null where they go on while the host does, on a GPU. */
  computeSeconds(): number | null;
  /** Runs one operation. Errors are thrown as the library words them. */
  execute(name: string, attributes: Attributes, inputs: readonly number[], numOutputs: number): Output[];
}

export const BYTES: Record<DType, number> = { float32: 4, bfloat16: 2, float16: 2, int32: 4, uint8: 1, bool: 1 };
