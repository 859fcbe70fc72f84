// The bootstrap in small checkouts on machines that lack something: one line each, and what it does without.
import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { inRepository } from '../support/paths.ts';
import { temporaryFolder } from '../support/temporary.ts';

const base = temporaryFolder();
let numCheckouts = 0;

interface Checkout {
  folder: string;
  /** Runs the bootstrap with only the programs of `machine` on PATH; times in its output are left out. */
  run(env?: Record<string, string>): { code: number | null; stderr: string };
}

/** A checkout with one source file; `machine` maps the programs on PATH to the shell lines they are. */
function makeCheckout(machine: Record<string, string>): Checkout {
  numCheckouts += 1;
  const folder = join(base, `checkout_${numCheckouts}`);
  for (const name of ['scripts', 'kernels', 'package.json', 'package-lock.json', 'tsconfig.json']) {
    cpSync(inRepository(name), join(folder, name), { recursive: true });
  }
  mkdirSync(join(folder, 'src'));
  writeFileSync(join(folder, 'src/cli.ts'), 'export const answer: number = 42;\n');
  symlinkSync(inRepository('node_modules'), join(folder, 'node_modules'));
  const programs = join(folder, 'programs');
  mkdirSync(programs);
  for (const [name, line] of Object.entries(machine)) {
    writeFileSync(join(programs, name), `#!/bin/sh\n${line}\n`);
    chmodSync(join(programs, name), 0o755);
  }
  return {
    folder,
    run: (env = {}) => {
      const command = [join(folder, 'scripts/bootstrap.mjs')];
      const clean = { PATH: programs, HOME: folder, ...env };
      const { status, stderr } = spawnSync(process.execPath, command, { cwd: base, env: clean, encoding: 'utf8' });
      return { code: status, stderr: stderr.replaceAll(/\d+\.\d s/g, '# s').replaceAll(folder, '<checkout>') };
    },
  };
}

const python = {
  old: 'echo 3.9',
  withoutPip: 'if [ "$1" = -c ]; then echo 3.12; else exit 1; fi',
  good: 'if [ "$1" = -c ]; then echo 3.12; else echo pip 25.0; fi',
};
const compiler = { old: 'echo 10.2.1', good: 'echo 12.2.0' };

describe('bootstrap without prerequisites', () => {
  it('names python3 and g++ in a line each, compiles TypeScript, and succeeds', () => {
    const checkout = makeCheckout({});
    const { code, stderr } = checkout.run();
    expect(stderr).toMatchInlineSnapshot(`
      "bootstrap: expected python3 >= 3.10, got none: pip fetches the TensorFlow library, nothing of Python is used afterwards; install with: sudo apt-get install -y python3 python3-pip
      bootstrap: expected g++ >= 11, got none: it compiles the TensorFlow binding and the kernels; install with: sudo apt-get install -y g++
      bootstrap: without it the plain compositions on tfjs's CPU backend are used: right results, slow, for the tiny configs only.
      bootstrap: TypeScript …
      bootstrap: TypeScript: # s
      bootstrap: ready (# s)
      "
    `);
    expect(code).toBe(0);
    expect(existsSync(join(checkout.folder, 'dist/cli.js'))).toBe(true);
  });

  it('does not repeat what it could do', () => {
    const checkout = makeCheckout({});
    checkout.run();
    expect(checkout.run().stderr).not.toContain('TypeScript');
  });

  it('tells the version of a Python that is too old', () => {
    expect(makeCheckout({ python3: python.old, 'g++': compiler.good }).run().stderr).toMatchInlineSnapshot(`
      "bootstrap: expected python3 >= 3.10, got python3 3.9: pip fetches the TensorFlow library, nothing of Python is used afterwards; install with: sudo apt-get install -y python3 python3-pip
      bootstrap: expected cmake with ninja or make, got none and no pip to fetch them: they build the kernels; install with: sudo apt-get install -y cmake make
      bootstrap: without it the plain compositions on tfjs's CPU backend are used: right results, slow, for the tiny configs only.
      bootstrap: TypeScript …
      bootstrap: TypeScript: # s
      bootstrap: ready (# s)
      "
    `);
  });

  it('tells a Python without pip', () => {
    const machine = { python3: python.withoutPip, 'g++': compiler.good, cmake: '', make: '' };
    expect(makeCheckout(machine).run().stderr).toMatchInlineSnapshot(`
      "bootstrap: expected pip for python3, got python3 3.12 without pip: pip fetches the TensorFlow library, nothing of Python is used afterwards; install with: sudo apt-get install -y python3-pip
      bootstrap: without it the plain compositions on tfjs's CPU backend are used: right results, slow, for the tiny configs only.
      bootstrap: TypeScript …
      bootstrap: TypeScript: # s
      bootstrap: ready (# s)
      "
    `);
  });

  it('tells the version of a compiler that is too old', () => {
    expect(makeCheckout({ python3: python.good, 'g++': compiler.old }).run().stderr).toMatchInlineSnapshot(`
      "bootstrap: expected g++ >= 11, got g++ 10.2.1: it compiles the TensorFlow binding and the kernels; install with: sudo apt-get install -y g++-12 && export CXX=g++-12
      bootstrap: without it the plain compositions on tfjs's CPU backend are used: right results, slow, for the tiny configs only.
      bootstrap: TypeScript …
      bootstrap: TypeScript: # s
      bootstrap: ready (# s)
      "
    `);
  });

  it('stops where npm is missing and packages are too', () => {
    const checkout = makeCheckout({});
    rmSync(join(checkout.folder, 'node_modules'));
    const { code, stderr } = checkout.run();
    expect(stderr).toMatchInlineSnapshot(`
      "bootstrap: expected python3 >= 3.10, got none: pip fetches the TensorFlow library, nothing of Python is used afterwards; install with: sudo apt-get install -y python3 python3-pip
      bootstrap: expected g++ >= 11, got none: it compiles the TensorFlow binding and the kernels; install with: sudo apt-get install -y g++
      bootstrap: without it the plain compositions on tfjs's CPU backend are used: right results, slow, for the tiny configs only.
      bootstrap: npm packages …
      bootstrap: expected npm on PATH, got none: it installs the packages; install Node >= 20 with npm.
      "
    `);
    expect(code).toBe(2);
  });

  it('refuses a ROCIT_TENSORFLOW folder without the library', () => {
    const checkout = makeCheckout({ 'g++': compiler.good, cmake: '', make: '' });
    const { code, stderr } = checkout.run({ ROCIT_TENSORFLOW: join(checkout.folder, 'nothing') });
    expect(stderr).toMatchInlineSnapshot(`
      "bootstrap: TensorFlow 2.21.0 in <checkout>/nothing …
      bootstrap: ROCIT_TENSORFLOW: expected a TensorFlow 2.21.0 package folder, got one without <checkout>/nothing/libtensorflow_cc.so.2, <checkout>/nothing/libtensorflow_framework.so.2, <checkout>/nothing/include.
      "
    `);
    expect(code).toBe(2);
  });
});

describe('bootstrap that was cut off', () => {
  it('leaves no stamp behind a step that failed, and mends it in the next run', () => {
    const checkout = makeCheckout({});
    const source = join(checkout.folder, 'src/cli.ts');
    writeFileSync(source, "export const answer: number = 'no';\n");
    const failed = checkout.run();
    expect(failed.code).toBe(2);
    expect(failed.stderr).toContain(
      "src/cli.ts(1,14): error TS2322: Type 'string' is not assignable to type 'number'.",
    );
    expect(existsSync(join(checkout.folder, 'build/stamps/typescript'))).toBe(false);
    writeFileSync(source, 'export const answer: number = 1;\n');
    expect(checkout.run().code).toBe(0);
  });

  it('takes over the lock of a process that is gone', () => {
    const checkout = makeCheckout({});
    const lock = join(checkout.folder, 'build/bootstrap.lock');
    mkdirSync(dirname(lock));
    writeFileSync(lock, '4194305');
    expect(checkout.run().code).toBe(0);
    expect(existsSync(lock)).toBe(false);
  });

  it('removes compiled files whose source is gone', () => {
    const checkout = makeCheckout({});
    const extra = join(checkout.folder, 'src/extra.ts');
    writeFileSync(extra, 'export const extra = 1;\n');
    checkout.run();
    expect(existsSync(join(checkout.folder, 'dist/extra.js'))).toBe(true);
    rmSync(extra);
    checkout.run();
    expect(existsSync(join(checkout.folder, 'dist/extra.js'))).toBe(false);
  });
});
