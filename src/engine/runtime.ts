// Which library computes: chosen once per process, TensorFlow where its binding is built, else tfjs's CPU backend.
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { messageOf, UserError } from '../core/errors.ts';
import { log } from '../core/log.ts';
import type { Backend } from './backend.ts';
import { createTensorflowBackend, missingBinding } from './tensorflow_backend.ts';

export interface EngineInfo {
  backend: 'tensorflow' | 'tfjs';
  device: 'cpu' | 'gpu';
  /** TensorFlow's version, null on tfjs. */
  tensorflow: string | null;
  /** Registered operations of our own; all others run as compositions. */
  kernels: string[];
  /** Changes when our operations are built anew from other sources; null without them. */
  kernelsBuild: string | null;
  threads: number;
  /** SIMD features of the processor that change results or speed. */
  cpuFeatures: string[];
}

let current: Backend | null = null;

/**
 * Loads the engine; later calls return at once. `ROCIT_KERNELS=off` keeps our operations out, so that every operation
 * runs as its composition; `ROCIT_BACKEND=tfjs` forces the backend that needs no compiled library.
 */
export async function startEngine(): Promise<EngineInfo> {
  if (current === null) current = await createBackend();
  return {
    backend: current.name,
    device: current.device,
    tensorflow: current.version,
    kernels: [...current.kernels].sort(),
    kernelsBuild: current.kernelsBuild,
    threads: threads(current),
    cpuFeatures: cpuFeatures(),
  };
}

async function createBackend(): Promise<Backend> {
  const missing = missingBinding();
  if (missing !== null || process.env.ROCIT_BACKEND === 'tfjs') {
    const { createTfjsBackend } = await import('./tfjs_backend.ts');
    log.once(
      'tfjs',
      `Running on tfjs's CPU backend (${missing ?? 'ROCIT_BACKEND=tfjs'}): float32 only, slow, meant for tiny models; \`npm run build\` builds the fast one.`,
    );
    return await createTfjsBackend();
  }
  try {
    return createTensorflowBackend(process.env.ROCIT_KERNELS !== 'off');
  } catch (error) {
    throw new UserError(
      `engine: expected TensorFlow's library to load, got ${messageOf(error)}; run \`npm run build\` again.`,
    );
  }
}

/** The backend in use. A bug if the engine was not started. */
export function backend(): Backend {
  if (current === null) throw new Error('startEngine() must be awaited before the first tensor');
  return current;
}

let kernelsAllowed = true;

/** Whether an operation of our own is registered and allowed; otherwise its composition runs. */
export function hasKernel(name: string): boolean {
  return kernelsAllowed && backend().kernels.has(name);
}

/** Runs `fn` with compositions only, to compare a kernel with its composition in one process. */
export async function withoutKernels<T>(fn: () => T | Promise<T>): Promise<T> {
  const before = kernelsAllowed;
  kernelsAllowed = false;
  try {
    return await fn();
  } finally {
    kernelsAllowed = before;
  }
}

function threads(engine: Backend): number {
  return engine.name === 'tfjs' ? 1 : Number(process.env.TF_NUM_INTRAOP_THREADS) || availableParallelism();
}

const FEATURES = ['avx2', 'fma', 'avx512f', 'avx512_bf16', 'avx512_vnni', 'amx_bf16'];

function cpuFeatures(): string[] {
  try {
    const flags = /^flags\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1]?.split(/\s+/) ?? [];
    return FEATURES.filter((feature) => flags.includes(feature));
  } catch {
    return [];
  }
}
