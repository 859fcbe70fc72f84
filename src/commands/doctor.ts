// rocit doctor: what this machine offers and what of it is used. Looks only; installs and changes nothing.
import { execFileSync } from 'node:child_process';
import { statfsSync } from 'node:fs';
import { availableParallelism, cpus, freemem, totalmem } from 'node:os';
import { messageOf } from '../core/errors.ts';
import { tokenizerLibrary } from '../data/tokenizer_library.ts';
import { type EngineInfo, startEngine } from '../engine/runtime.ts';

const TOOL_SECONDS = 10;

/** Key → what was found, null where there is nothing. Keys are snake_case: they are printed as JSON. */
export interface Findings {
  node: string;
  python: string | null;
  pip: string | null;
  cxx: string | null;
  cmake: string | null;
  backend: string | null;
  device: string | null;
  tensorflow: string | null;
  kernels: readonly string[];
  /** The library that makes the tokens. */
  tokenizer: string;
  engine_error: string | null;
  cpu: string | null;
  cores: number;
  threads: number | null;
  cpu_features: readonly string[];
  memory_gib: number;
  memory_free_gib: number;
  disk_free_gib: number;
  gpu: string | null;
  nvcc: string | null;
}

/** Prints the findings to stdout, as lines or as one JSON object. */
export async function doctorCommand(options: { json: boolean }): Promise<void> {
  const findings = await examine();
  const text = options.json ? JSON.stringify(findings, null, 2) : describe(findings);
  process.stdout.write(`${text}\n`);
}

async function examine(): Promise<Findings> {
  const engine = await tryEngine();
  const info = typeof engine === 'string' ? null : engine;
  const disk = statfsSync('.');
  return {
    node: process.version,
    python: toolVersion('python3', ['--version']),
    pip: toolVersion('python3', ['-m', 'pip', '--version']),
    cxx: toolVersion('g++', ['--version']),
    cmake: toolVersion('cmake', ['--version']),
    backend: info?.backend ?? null,
    device: info?.device ?? null,
    tensorflow: info?.tensorflow ?? null,
    kernels: info?.kernels ?? [],
    tokenizer: (await tokenizerLibrary()).name,
    engine_error: typeof engine === 'string' ? engine : null,
    cpu: cpus()[0]?.model ?? null,
    cores: availableParallelism(),
    threads: info?.threads ?? null,
    cpu_features: info?.cpuFeatures ?? [],
    memory_gib: gib(memoryLimit()),
    memory_free_gib: gib(freemem()),
    disk_free_gib: gib(disk.bavail * disk.bsize),
    gpu: toolVersion('nvidia-smi', ['--query-gpu=name,driver_version,memory.total', '--format=csv,noheader']),
    nvcc: lastLine(toolOutput('nvcc', ['--version'])),
  };
}

async function tryEngine(): Promise<EngineInfo | string> {
  try {
    return await startEngine();
  } catch (error) {
    return messageOf(error);
  }
}

/** The machine's memory, or less where a container sets a limit. */
function memoryLimit(): number {
  const limit = process.constrainedMemory();
  return limit > 0 && limit < totalmem() ? limit : totalmem();
}

function gib(bytes: number): number {
  return Math.round((bytes / 2 ** 30) * 10) / 10;
}

function toolVersion(command: string, args: string[]): string | null {
  return toolOutput(command, args)?.split('\n')[0]?.trim() ?? null;
}

function lastLine(text: string | null): string | null {
  return text?.split('\n').at(-1)?.trim() ?? null;
}

/** What a program prints, null when it is missing, fails or says nothing. */
function toolOutput(command: string, args: string[]): string | null {
  try {
    const text = execFileSync(command, args, {
      encoding: 'utf8',
      timeout: TOOL_SECONDS * 1000,
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    return text.trim() || null;
  } catch {
    return null;
  }
}

function describe(found: Findings): string {
  const kernels = found.kernels.length === 0 ? 'none: all operations run as compositions' : found.kernels.join(', ');
  const engine = found.backend === null ? `not started: ${found.engine_error}` : `${found.backend} on ${found.device}`;
  const rows: [string, string][] = [
    ['node', found.node],
    ['python', found.python ?? 'missing (needed by `npm run build`)'],
    ['pip', found.pip ?? 'missing (needed by `npm run build`)'],
    ['g++', found.cxx ?? 'missing (needed by `npm run build`)'],
    ['cmake', found.cmake ?? 'missing (`npm run build` brings its own)'],
    ['engine', engine],
    ['tensorflow', found.tensorflow ?? 'not in use'],
    ['kernels', kernels],
    ['tokens', found.tokenizer],
    ['processor', `${found.cpu ?? 'unknown'}, ${found.cores} cores, ${found.threads ?? 0} threads in use`],
    ['features', describeFeatures(found.cpu_features)],
    ['memory', `${found.memory_gib} GiB, ${found.memory_free_gib} GiB free`],
    ['disk', `${found.disk_free_gib} GiB free here`],
    ['gpu', found.gpu ?? 'none'],
    ['nvcc', found.nvcc ?? 'missing (needed only to build CUDA kernels)'],
  ];
  return rows.map(([name, value]) => `${name.padEnd(12)}${value}`).join('\n');
}

/** bfloat16 arithmetic pays on a processor only where it is built in. */
function describeFeatures(features: readonly string[]): string {
  const names = features.length === 0 ? 'none of avx2, avx512f' : features.join(' ');
  const isFast = features.includes('avx512_bf16') || features.includes('amx_bf16');
  return `${names} (bfloat16 is ${isFast ? 'fast' : 'not faster than float32'} here)`;
}
