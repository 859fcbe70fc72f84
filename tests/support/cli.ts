// The compiled command line, started as a user starts it.
import { type ChildProcess, spawn } from 'node:child_process';
import { inRepository, repositoryRoot } from './paths.ts';

export interface CliOptions {
  /** Working directory; the checkout when left out. */
  cwd?: string;
  env?: Record<string, string>;
}

export interface CliResult {
  /** The exit code, or null after a signal. */
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

/** Runs `rocit <args>` to its end. */
export async function rocit(args: readonly string[], options: CliOptions = {}): Promise<CliResult> {
  return await startRocit(args, options).done;
}

/** Starts `rocit <args>`, for tests that send signals; `done` gives the result. */
export function startRocit(
  args: readonly string[],
  options: CliOptions = {},
): { process: ChildProcess; done: Promise<CliResult> } {
  const child = spawn(process.execPath, [inRepository('dist', 'cli.js'), ...args], {
    cwd: options.cwd ?? repositoryRoot,
    env: { ...process.env, NO_COLOR: '1', ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const done = new Promise<CliResult>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr }));
  });
  return { process: child, done };
}
