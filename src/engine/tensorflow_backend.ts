// The TensorFlow library through the N-API binding of @tensorflow/tfjs-node-gpu, and our own operations beside it.
// The binding is loaded without the package's TypeScript half: it refuses bfloat16, breaks on Node 23 and later, and
// takes 1.5 s to load.
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { sha256 } from '../core/files.ts';
import type { Attribute, Attributes, Backend, DType, HostArray, Output } from './backend.ts';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const BINDING = '@tensorflow/tfjs-node-gpu/lib/napi-v8/tfjs_binding.node';
/** Our operations; tests name another build of them. */
const KERNELS = process.env.ROCIT_KERNELS_FILE ?? join(ROOT, 'build', 'rocit_kernels.node');
const QUIET = join(ROOT, 'build', 'quiet_stderr.node');
/** What TensorFlow says at every load before its log level counts. */
const NOTICES = [/^WARNING: All log messages before absl/, /^I\d{4} /, /^To enable the following instructions/, /^$/];

/** TF_DataType of tensorflow/c/tf_datatype.h. */
const TF_DTYPE: Record<DType, number> = { float32: 1, int32: 3, uint8: 4, bool: 10, bfloat16: 14, float16: 19 };
const DTYPE_OF_TF = new Map(Object.entries(TF_DTYPE).map(([name, value]) => [value, name as DType]));

interface NativeAttribute {
  name: string;
  type: number;
  value: unknown;
}

interface Binding {
  TF_Version: string;
  TF_ATTR_STRING: number;
  TF_ATTR_INT: number;
  TF_ATTR_FLOAT: number;
  TF_ATTR_BOOL: number;
  TF_ATTR_TYPE: number;
  TF_ATTR_SHAPE: number;
  isUsingGpuDevice(): boolean;
  createTensor(shape: readonly number[], dtype: number, buffer: HostArray): number;
  deleteTensor(id: number): void;
  tensorDataSync(id: number): HostArray;
  executeOp(
    name: string,
    attributes: NativeAttribute[],
    inputs: readonly number[],
    numOutputs: number,
  ): { id: number; shape: number[]; dtype: number }[];
}

interface Addon {
  /** Our operations that have a kernel for each type of device. */
  kernels: Record<Backend['device'], string[]>;
  computeSeconds(): number;
}

const NO_ADDON: Addon = { kernels: { cpu: [], gpu: [] }, computeSeconds: () => 0 };

interface QuietStderr {
  hold(): void;
  release(): string;
}

/** Why the TensorFlow backend cannot be used here, or null when its binding is built. */
export function missingBinding(): string | null {
  try {
    createRequire(import.meta.url).resolve(BINDING);
    return null;
  } catch {
    return 'the TensorFlow binding is not built';
  }
}

/** Loads the binding and, with `useKernels`, our operations. */
export function createTensorflowBackend(useKernels: boolean): Backend {
  process.env.TF_CPP_MIN_LOG_LEVEL ??= '2';
  const load = createRequire(import.meta.url);
  const { binding, addon } = withoutNotices(load, () => ({
    binding: load(BINDING) as Binding,
    addon: useKernels && existsSync(KERNELS) ? (load(KERNELS) as Addon) : NO_ADDON,
  }));
  const device = binding.isUsingGpuDevice() ? 'gpu' : 'cpu';
  return {
    name: 'tensorflow',
    device,
    version: binding.TF_Version,
    kernelsBuild: addon.kernels[device].length > 0 ? sha256(readFileSync(KERNELS)).slice(0, 16) : null,
    // What has no kernel for the device runs as its composition there.
    kernels: new Set(addon.kernels[device]),
    computeSeconds: () => (device === 'gpu' ? null : addon.computeSeconds()),
    // The binding shares the array's memory with the tensor, so it gets a copy of its own.
    create: (values, shape, dtype) => binding.createTensor(shape, TF_DTYPE[dtype], values.slice()),
    read: (handle) => binding.tensorDataSync(handle).slice(),
    free: (handle) => binding.deleteTensor(handle),
    execute: (name, attributes, inputs, numOutputs) =>
      binding.executeOp(name, nativeAttributes(binding, attributes), inputs, numOutputs).map(toOutput),
  };
}

/** Runs a load with stderr held back, then passes on all but TensorFlow's usual notices. */
function withoutNotices<T>(load: NodeJS.Require, fn: () => T): T {
  if (!existsSync(QUIET)) return fn();
  const quiet = load(QUIET) as QuietStderr;
  quiet.hold();
  try {
    return fn();
  } finally {
    const lines = quiet.release().split('\n');
    const told = lines.filter((line) => !NOTICES.some((notice) => notice.test(line)));
    if (told.length > 0) process.stderr.write(`${told.join('\n')}\n`);
  }
}

function toOutput({ id, shape, dtype }: { id: number; shape: number[]; dtype: number }): Output {
  const known = DTYPE_OF_TF.get(dtype);
  if (known === undefined) throw new Error(`TensorFlow returned dtype ${dtype}, which the engine does not use`);
  return { handle: id, shape, dtype: known };
}

function nativeAttributes(binding: Binding, attributes: Attributes): NativeAttribute[] {
  const native: NativeAttribute[] = [];
  for (const name in attributes) native.push(nativeAttribute(binding, name, attributes[name] as Attribute));
  return native;
}

function nativeAttribute(binding: Binding, name: string, attribute: Attribute): NativeAttribute {
  if (typeof attribute === 'number') return { name, type: binding.TF_ATTR_INT, value: attribute };
  if (typeof attribute === 'boolean') return { name, type: binding.TF_ATTR_BOOL, value: attribute };
  if (typeof attribute === 'string') return { name, type: binding.TF_ATTR_STRING, value: attribute };
  if ('float' in attribute) return { name, type: binding.TF_ATTR_FLOAT, value: attribute.float };
  if ('type' in attribute) return { name, type: binding.TF_ATTR_TYPE, value: TF_DTYPE[attribute.type] };
  return { name, type: binding.TF_ATTR_SHAPE, value: attribute.shape };
}
