// scripts/gpu_check.sh on machines made of small programs: one line for what is missing, the tables and the exit code
// where everything is there. Its real build runs in scripts/test_native.mjs, by the emulator.
import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { inRepository } from '../support/paths.ts';
import { temporaryFolder } from '../support/temporary.ts';

const base = temporaryFolder();
let numMachines = 0;

const h100 = 'device\\tNVIDIA H100\\t90\\t12080\\t12040\\t85000000000\\t132';
const programs = {
  probe: `printf '${h100}\\n'`,
  test: 'echo "one: 3 passed, 0 failed, 1 skipped"',
  bench:
    'printf "bench\\trms_norm\\tbfloat16\\t4096x4096\\t0.0500\\t2684.4\\tGB/s\\tcopy\\t0.0450\\t0.90\\n"\nprintf "step\\t1x4096\\t250.0\\t16384\\t440.1\\t31.02\\t31.50\\t10.4000\\t1.2500\\nshare\\trope\\t64\\t1.500\\t0.6\\t1x4096\\n"',
  version: 'Cuda compilation tools, release 12.4, V12.4.131',
  torch: `{"op": "rms_norm", "dtype": "bfloat16", "shape": "4096x4096", "baseline": "rms_norm compiled", "ms": 0.06}`,
};

/** Runs gpu_check.sh in a checkout of its own, with compilers that write the given programs instead of compiling. */
function check(changes: Partial<typeof programs>, args: string[] = [], env: Record<string, string> = {}) {
  numMachines += 1;
  const folder = join(base, `machine_${numMachines}`);
  for (const name of ['scripts/gpu_check.sh', 'kernels'])
    cpSync(inRepository(name), join(folder, name), { recursive: true });
  mkdirSync(join(folder, 'bin'));
  const written = { ...programs, ...changes };
  const script = (name: string, text: string) => {
    writeFileSync(join(folder, 'bin', name), `#!/bin/bash\n${text}\n`);
    chmodSync(join(folder, 'bin', name), 0o755);
  };
  for (const name of ['probe', 'test', 'bench'] as const) script(`made_${name}`, written[name]);
  script('object', 'exit 0');
  const made = join(folder, 'bin');
  const compiling = [
    'while (($# > 1)) && [[ $1 != -o ]]; do shift; done',
    `case $2 in *probe) from=made_probe ;; *_test.part) from=made_test ;; *_bench.part) from=made_bench ;; *) from=object ;; esac`,
    `cp ${made}/$from "$2"`,
  ].join('\n');
  const answers = `case $1 in --version) echo "${written.version}"; exit ;; --list-gpu-code) printf 'sm_80\\nsm_90\\n'; exit ;; esac`;
  script('nvcc', `${answers}\n${compiling}`);
  script('g++', compiling);
  script('python3', `[[ $1 == -c ]] && echo PyTorch 2.9.0 || echo '${written.torch}'`);
  script('nvidia-smi', 'echo 570.86.10');
  const command = [join(folder, 'scripts/gpu_check.sh'), ...args.map((arg) => arg.replace('<checkout>', folder))];
  const path = `${made}:${process.env.PATH}`;
  const { status, stdout, stderr } = spawnSync('bash', command, { env: { PATH: path, ...env }, encoding: 'utf8' });
  return { folder, code: status, stdout, stderr: stderr.replaceAll(folder, '<checkout>') };
}

describe('gpu_check.sh on a machine that lacks something', () => {
  it('says in one line which part, what is there, and what to do', () => {
    const lines = [
      check({}, [], { NVCC: '/nowhere/nvcc' }),
      check({ version: 'Cuda compilation tools, release 11.8, V11.8.89' }),
      check({ version: 'a program' }),
      check({ probe: `printf 'error\\t35\\t0\\t12040\\tCUDA driver version is insufficient\\n'; exit 1` }),
      check({ probe: `printf 'error\\t100\\t12080\\t12040\\tno CUDA-capable device is detected\\n'; exit 1` }),
      check({ probe: `printf 'error\\t35\\t11080\\t12040\\tCUDA driver version is insufficient\\n'; exit 1` }),
      check({ probe: `printf 'error\\t46\\t12080\\t12040\\tdevice is busy\\n'; exit 1` }),
      check({ probe: `printf 'device\\tTesla V100\\t70\\t12080\\t12040\\t1\\t80\\n'` }),
      check({ probe: `printf 'device\\tB200\\t100\\t12080\\t12040\\t1\\t80\\n'` }),
      check({}, ['--only', 'nothing']),
      check({}, ['--fast']),
      check({}, ['--jobs', 'many']),
      check({}, ['--out']),
    ];
    expect(lines.map(({ code }) => code)).toEqual(lines.map(() => 2));
    expect(lines.map(({ stdout }) => stdout).join('')).toBe('');
    const said = lines.map(({ stderr }) => stderr.split('\n').filter((line) => line.startsWith('gpu_check: ')));
    expect(said.map(({ length }) => length)).toEqual(lines.map(() => 1));
    expect(said.flat().join('\n')).toMatchInlineSnapshot(`
      "gpu_check: NVCC: expected a compiler, got /nowhere/nvcc.
      gpu_check: expected nvcc 12.4 or newer, got 11.8 (<checkout>/bin/nvcc); install a newer CUDA toolkit or set NVCC.
      gpu_check: <checkout>/bin/nvcc: expected nvcc, got a program that names no release.
      gpu_check: expected an NVIDIA GPU with its driver, got none (CUDA driver version is insufficient); --emulate runs the tests without one.
      gpu_check: expected an NVIDIA GPU with its driver, got none (no CUDA-capable device is detected); --emulate runs the tests without one.
      gpu_check: expected a driver for CUDA 12.4, got one for CUDA 11.8; update the driver or use an older toolkit (12.4 or newer).
      gpu_check: expected a GPU that works, got error 46: device is busy.
      gpu_check: expected a GPU of compute capability 8.0 or newer, got Tesla V100 with 7.0.
      gpu_check: expected an nvcc that compiles for sm_100, got 12.4; install a newer CUDA toolkit.
      gpu_check: --only: expected part of the name of a test or bench, got nothing.
      gpu_check: expected an option of --help, got --fast.
      gpu_check: --jobs: expected a number, got many.
      gpu_check: --out: expected a value, got none; see --help."
    `);
  });
});

describe('gpu_check.sh on a machine with a GPU', () => {
  it('prints the device, the counts and the tables with the baselines of PyTorch', () => {
    const { code, stdout } = check({}, ['--only', 'rms_norm']);
    expect(stdout).toMatchInlineSnapshot(`
      "NVIDIA H100, driver 570.86.10 (CUDA 12.8), CUDA 12.4, nvcc 12.4, PyTorch 2.9.0, sm_90a

      tests: 3 passed, 0 failed, 1 skipped (programs: 1)

      op        dtype     shape      ms      rate    unit  baseline  ms      ratio  PyTorch            ms     ratio
      rms_norm  bfloat16  4096x4096  0.0500  2684.4  GB/s  copy      0.0450   0.90  rms_norm compiled  0.060   1.20

      LoRA step  ms     tokens/s  TFLOP/s  peak GB  taken from the device GB  loss     grad norm
      1x4096     250.0     16384    440.1    31.02                     31.50  10.4000     1.2500

      op    calls  ms     share %  of
      rope     64  1.500      0.6  1x4096
      "
    `);
    expect(code).toBe(0);
  });

  it('writes them as markdown and JSON', () => {
    const { folder } = check({}, [
      '--only',
      'rms_norm',
      '--quick',
      '--out',
      '<checkout>/t.md',
      '--json',
      '<checkout>/t.json',
    ]);
    expect(readFileSync(join(folder, 't.md'), 'utf8')).toContain(
      '| rms_norm | bfloat16 | 4096x4096 | 0.0500 | 2684.4 | GB/s | copy | 0.0450 | 0.90 | rms_norm compiled | 0.060 | 1.20 |',
    );
    expect(JSON.parse(readFileSync(join(folder, 't.json'), 'utf8'))).toMatchInlineSnapshot(`
      {
        "arch": "sm_90a",
        "benches": [
          {
            "baseline": "copy",
            "baseline_ms": 0.045,
            "dtype": "bfloat16",
            "ms": 0.05,
            "op": "rms_norm",
            "rate": 2684.4,
            "ratio": 0.9,
            "shape": "4096x4096",
            "torch": "rms_norm compiled",
            "torch_ms": 0.06,
            "torch_ratio": 1.2,
            "unit": "GB/s",
          },
        ],
        "cuda": "12.4",
        "device": "NVIDIA H100",
        "driver": "570.86.10 (CUDA 12.8)",
        "nvcc": "12.4",
        "shares": [
          {
            "calls": 64,
            "ms": 1.5,
            "op": "rope",
            "share_percent": 0.6,
            "step": "1x4096",
          },
        ],
        "steps": [
          {
            "device_gb": 31.5,
            "grad_norm": 1.25,
            "loss": 10.4,
            "ms": 250,
            "peak_gb": 31.02,
            "step": "1x4096",
            "tflops": 440.1,
            "tokens_per_second": 16384,
          },
        ],
        "tests": {
          "failed": 0,
          "passed": 3,
          "skipped": 1,
        },
        "torch": "PyTorch 2.9.0",
        "wrong": "",
      }
    `);
  });

  it.each([
    ['a test', { test: 'echo "FAILED rms_norm y: got 1"\necho "one: 2 passed, 1 failed, 0 skipped"\nexit 1' }],
    ['a test that dies', { test: 'kill -SEGV $$' }],
    ['a bench', { bench: 'echo "FAILED rms_norm dx"\nexit 1' }],
  ])('fails where %s is wrong', (_, changes) => {
    const { code, stderr } = check(changes, ['--only', 'rms_norm']);
    expect(stderr).toMatch(
      /gpu_check: expected right values everywhere, got wrong ones from rms_norm_cuda_(test|bench)\./,
    );
    expect(code).toBe(1);
  });

  it('compiles without one when told for which', () => {
    const { folder, code, stdout } = check({ probe: 'exit 1' }, ['--build-only', '--arch', 'sm_90']);
    expect(code).toBe(0);
    expect(stdout).toBe('');
    expect(existsSync(join(folder, 'build/gpu_check/nvcc_12.4_sm_90a/llama_step_cuda_bench'))).toBe(true);
  });
});
