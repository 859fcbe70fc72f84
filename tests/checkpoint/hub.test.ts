// Downloads from a hub on this machine: whole, resumed, redirected, refused, cut, corrupt.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { fetchRepo, type HubRepo, isRepoId } from '../../src/checkpoint/hub.ts';
import type { HubAccess } from '../../src/checkpoint/hub_client.ts';
import { readJsonFile } from '../../src/core/files.ts';
import { rocit } from '../support/cli.ts';
import { temporaryFolder } from '../support/temporary.ts';
import { COMMIT, type LocalHub, startLocalHub } from './local_hub.ts';
import { userErrorFrom } from './user_error.ts';

const top = temporaryFolder();
const weights = Buffer.from(Array.from({ length: 200_000 }, (_, i) => (i * 7919) % 251));
const model: HubRepo = { kind: 'models', id: 'org/tiny', revision: 'main' };
const files = {
  'config.json': '{}',
  'model.safetensors': weights,
  'tokenizer.json': '{"a": 1}',
  'chat_template.jinja': 'x',
  'README.md': 'hello',
  'pytorch_model.bin': 'not wanted',
  'onnx/model.safetensors': 'not wanted',
  '.gitattributes': 'not wanted',
};

const hubs: LocalHub[] = [];
afterEach(async () => {
  for (const hub of hubs.splice(0)) await hub.close();
});

async function serve(content: Record<string, string | Buffer> = files, lfs = ['model.safetensors']): Promise<LocalHub> {
  const hub = await startLocalHub(content, lfs);
  hubs.push(hub);
  return hub;
}

let count = 0;
function newFolder(): string {
  return join(top, `${count++}`, 'model');
}

function access(hub: LocalHub, token: string | null = null): HubAccess {
  return { endpoint: hub.url, token, backoffSeconds: 0.01 };
}

function fetchModel(hub: LocalHub, folder: string, token: string | null = null): Promise<boolean> {
  return fetchRepo(model, folder, access(hub, token), () => {});
}

function messageOf(hub: LocalHub, folder = newFolder(), token: string | null = null): Promise<string> {
  return userErrorFrom(fetchModel(hub, folder, token), top).then((text) => text.replaceAll(hub.url, '<hub>'));
}

const wanted = ['README.md', 'chat_template.jinja', 'config.json', 'model.safetensors', 'tokenizer.json'];

describe('fetchRepo', () => {
  it('downloads what rocit reads, and a second time finds it there without asking the hub', async () => {
    const hub = await serve();
    hub.faults.pageSize = 3;
    const folder = newFolder();
    const progress: [number, number | null][] = [];
    expect(await fetchRepo(model, folder, access(hub), (_, done, total) => progress.push([done, total]))).toBe(true);
    expect(readdirSync(folder).sort()).toEqual([...wanted, 'rocit_source.json'].sort());
    expect(readFileSync(join(folder, 'model.safetensors')).equals(weights)).toBe(true);
    expect(readdirSync(join(folder, '..'))).toEqual(['model']);
    expect(readJsonFile(join(folder, 'rocit_source.json'), 'manifest')).toMatchObject({ details: { commit: COMMIT } });
    const total = weights.length + 2 + 8 + 1 + 5;
    expect(progress.at(-1)).toEqual([total, total]);
    expect(progress.every(([done], i) => done >= (progress[i - 1]?.[0] ?? 0))).toBe(true);

    const asked = hub.requests.length;
    expect(await fetchModel(hub, folder)).toBe(false);
    expect(hub.requests.length).toBe(asked);
  });

  it('goes on where a cut connection stopped, again and again', async () => {
    const hub = await serve();
    hub.faults.cutAfter.push(50_000, 50_000, 50_000);
    const folder = newFolder();
    await fetchModel(hub, folder);
    expect(readFileSync(join(folder, 'model.safetensors')).equals(weights)).toBe(true);
    const ranges = hub.requests.filter((line) => line.includes('/model.safetensors')).map((line) => line.split(' ')[1]);
    expect(ranges[0]).toBe('range=none');
    expect(ranges.length).toBe(4);
    for (const range of ranges.slice(1)) expect(range).toMatch(/^range=bytes=[1-9]\d*-$/);
  });

  it('goes on in a new process with the part that an older one left', async () => {
    const hub = await serve();
    const folder = newFolder();
    const staging = join(folder, '..', '.model.part');
    mkdirSync(staging, { recursive: true });
    writeFileSync(join(staging, 'model.safetensors.part'), weights.subarray(0, 123_456));
    writeFileSync(join(staging, 'config.json'), files['config.json']);
    writeFileSync(join(staging, 'old_file.json'), 'of another commit');
    await fetchModel(hub, folder);
    expect(hub.requests.filter((line) => line.includes('range=bytes'))).toEqual([
      `/org/tiny/resolve/${COMMIT}/model.safetensors range=bytes=123456- token=none`,
    ]);
    expect(hub.requests.some((line) => line.includes('config.json'))).toBe(false);
    expect(readFileSync(join(folder, 'model.safetensors')).equals(weights)).toBe(true);
    expect(existsSync(join(folder, 'old_file.json'))).toBe(false);
  });

  it('starts a file anew when the part was of other content, or the server cannot resume', async () => {
    for (const isDeaf of [false, true]) {
      const hub = await serve();
      hub.faults.isDeaf = isDeaf;
      const folder = newFolder();
      mkdirSync(join(folder, '..', '.model.part'), { recursive: true });
      writeFileSync(join(folder, '..', '.model.part', 'model.safetensors.part'), Buffer.alloc(1000));
      await fetchModel(hub, folder);
      expect(readFileSync(join(folder, 'model.safetensors')).equals(weights)).toBe(true);
    }
  });

  it('refuses bytes that are not those listed, both for large and for small files', async () => {
    for (const lfs of [['model.safetensors'], []]) {
      const hub = await serve({ 'model.safetensors': weights }, lfs);
      hub.faults.isCorrupt = true;
      const folder = newFolder();
      const text = await messageOf(hub, folder);
      expect(text).toMatch(
        /^model\.safetensors: expected (SHA-256 [0-9a-f]{64}|git hash [0-9a-f]{40}) as the hub lists it, got other bytes; fetch again, or check HF_ENDPOINT\.$/,
      );
      expect(existsSync(folder)).toBe(false);
    }
  });

  it('repeats after 429 and 5xx, then gives up with what to do', async () => {
    const hub = await serve();
    hub.faults.statuses.push(503, 429, 500);
    expect(await fetchModel(hub, newFolder())).toBe(true);
    hub.faults.statuses.push(503, 503, 503, 503, 503, 503);
    expect(await messageOf(hub)).toMatchInlineSnapshot(
      `"hub: expected an answer from <hub>, got none in 6 tries (the model org/tiny at revision main: HTTP 503); check the network and HF_ENDPOINT, then run the same command: it goes on where it stopped."`,
    );
  });

  it('says what 401, 403 and 404 mean', async () => {
    const hub = await serve();
    hub.faults.statuses.push(401);
    expect(await messageOf(hub)).toMatchInlineSnapshot(
      `"hub: expected the model org/tiny at revision main at <hub>, got HTTP 401; it does not exist or is private: check the name, or set HF_TOKEN to a token that may read it (HF_TOKEN is not set)."`,
    );
    hub.faults.statuses.push(403);
    expect(await messageOf(hub, newFolder(), 'secret')).toMatchInlineSnapshot(
      `"hub: expected the model org/tiny at revision main at <hub>, got HTTP 403; its terms must be accepted on the hub's page first, with the account of HF_TOKEN (HF_TOKEN is set)."`,
    );
    hub.faults.statuses.push(404);
    expect(await messageOf(hub)).toMatchInlineSnapshot(
      `"hub: expected the model org/tiny at revision main at <hub>, got HTTP 404; check the name and --revision."`,
    );
  });

  it('says that nobody answers', async () => {
    const hub = await serve();
    await hub.close();
    expect(await messageOf(hub)).toMatch(
      /got none in 6 tries \(no connection to 127\.0\.0\.1:\d+ \(ECONNREFUSED\)\); check the network/,
    );
  });

  it('sends the token to the hub and to no other host', async () => {
    const hub = await serve();
    const other = await serve();
    hub.faults.redirectTo = other.url;
    await fetchModel(hub, newFolder(), 'secret');
    expect(hub.requests.every((line) => line.endsWith('token=Bearer secret'))).toBe(true);
    expect(other.requests.length).toBe(wanted.length);
    expect(other.requests.every((line) => line.endsWith('token=none'))).toBe(true);
  });

  it('fetches a folder again whose files were changed, and keeps foreign folders', async () => {
    const hub = await serve();
    const folder = newFolder();
    await fetchModel(hub, folder);
    writeFileSync(join(folder, 'model.safetensors'), 'changed');
    expect(await fetchModel(hub, folder)).toBe(true);
    expect(readFileSync(join(folder, 'model.safetensors')).equals(weights)).toBe(true);

    const other = fetchRepo({ ...model, revision: 'v2' }, folder, access(hub), () => {});
    expect(await userErrorFrom(other, top)).toMatch(/expected org\/tiny at v2, got a folder fetched from elsewhere/);
    mkdirSync(join(top, 'mine'));
    writeFileSync(join(top, 'mine', 'notes.txt'), 'keep');
    expect(await messageOf(hub, join(top, 'mine'))).toMatchInlineSnapshot(
      `"<folder>/mine: expected no folder or one made by rocit fetch, got other files; remove it or choose another --output."`,
    );
  });

  it('refuses a repository without safetensors, and paths that leave the folder', async () => {
    expect(await messageOf(await serve({ 'config.json': '{}', 'pytorch_model.bin': 'x' }))).toMatchInlineSnapshot(
      `"hub: expected safetensors weights in org/tiny, got pytorch_model.bin; choose a repository or --revision that has them."`,
    );
    expect(await messageOf(await serve({ '../x.json': '{}' }))).toMatchInlineSnapshot(
      `"hub: expected paths inside the repository org/tiny, got ../x.json; do not use this repository."`,
    );
  });

  it('takes a data set with its folders and blanks in names', async () => {
    const rows = {
      'rolebench-zh/general/test.jsonl': '{}\n',
      'profiles/Doctor Who.jsonl': '{}\n',
      'a/.x.json': '',
      'p.png': '',
    };
    const hub = await serve(rows, []);
    const folder = newFolder();
    await fetchRepo({ ...model, kind: 'datasets' }, folder, access(hub), () => {});
    expect(
      readdirSync(folder, { recursive: true })
        .map(String)
        .filter((name) => name.endsWith('.jsonl'))
        .sort(),
    ).toEqual(['profiles/Doctor Who.jsonl', 'rolebench-zh/general/test.jsonl']);
    expect(existsSync(join(folder, 'p.png'))).toBe(false);
  });
});

describe('rocit fetch <org/name>', () => {
  it('reads HF_ENDPOINT and HF_TOKEN and prints the folder', async () => {
    const hub = await serve();
    const folder = newFolder();
    const env = { HF_ENDPOINT: `${hub.url}/`, HF_TOKEN: 'secret' };
    const { code, stdout, stderr } = await rocit(['fetch', 'org/tiny', '--output', folder], { env });
    expect({ code, stdout }).toEqual({ code: 0, stdout: `${folder}\n` });
    expect(stderr).toContain('downloading org/tiny');
    expect(hub.requests.every((line) => line.endsWith('token=Bearer secret'))).toBe(true);
  });

  it('ends with 2 and one line for a revision that is not there', async () => {
    const hub = await serve();
    const { code, stderr } = await rocit(['fetch', 'org/tiny', '--revision', 'v9', '--output', newFolder()], {
      env: { HF_ENDPOINT: hub.url },
    });
    expect({ code, stderr: stderr.replaceAll(hub.url, '<hub>') }).toMatchInlineSnapshot(`
      {
        "code": 2,
        "stderr": "hub: expected the model org/tiny at revision v9 at <hub>, got HTTP 404; check the name and --revision.
      ",
      }
    `);
  });
});

describe('isRepoId', () => {
  it('takes <org>/<name> and no path', () => {
    expect(['org/name', 'HuggingFaceTB/SmolLM2-135M'].every(isRepoId)).toBe(true);
    expect(['name', '../x', './x', 'a/b/c', '/etc', 'a/..'].some(isRepoId)).toBe(false);
  });
});
