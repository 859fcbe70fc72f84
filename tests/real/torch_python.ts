// A Python with PyTorch and PEFT, where somebody has one: rocit itself never needs it.
import { spawnSync } from 'node:child_process';

const MODULES = ['torch', 'transformers', 'peft', 'safetensors'];
const PROBE = `import sys, importlib.util as u; print(*[m for m in sys.argv[1:] if u.find_spec(m) is None])`;

let found: string | null | undefined;

/**
 * The Python of ROCIT_TORCH_PYTHON, or python3 where it has what is needed; else null: the tests that want it then skip,
 * and this says why, once. A Python that was named and lacks something is an error.
 */
export function torchPython(): string | null {
  if (found === undefined) found = look();
  return found;
}

function look(): string | null {
  const named = process.env.ROCIT_TORCH_PYTHON;
  const python = named ?? 'python3';
  const { status, stdout } = spawnSync(python, ['-c', PROBE, ...MODULES], { encoding: 'utf8' });
  const lacks = status === 0 ? stdout.trim() : 'the program itself';
  if (lacks === '') return python;
  if (named !== undefined)
    throw new Error(`ROCIT_TORCH_PYTHON=${named}: expected ${MODULES.join(', ')}, lacks ${lacks}`);
  process.stderr.write(`skipped: comparison with PEFT, ${python} lacks ${lacks}; ROCIT_TORCH_PYTHON names another\n`);
  return null;
}
