// A hub on 127.0.0.1 with the routes of the Hugging Face API that rocit uses, and faults to order.
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface LocalHub {
  url: string;
  /** `GET /path range=… token=…` of each request so far. */
  requests: string[];
  /** Files by path; what is in `lfs` is listed with its SHA-256. */
  files: Map<string, Buffer>;
  lfs: Set<string>;
  faults: {
    /** Cut the connection after so many bytes of a file, once for each entry. */
    cutAfter: number[];
    /** Answer the next requests with these statuses. */
    statuses: number[];
    /** Send other bytes than listed. */
    isCorrupt: boolean;
    /** Ignore Range. */
    isDeaf: boolean;
    /** Send files by a redirect to this origin. */
    redirectTo: string | null;
    /** Entries of a page of the file list. */
    pageSize: number;
  };
  close(): Promise<void>;
}

export const COMMIT = 'c0ffee'.padEnd(40, '0');

export async function startLocalHub(files: Record<string, string | Buffer>, lfs: string[] = []): Promise<LocalHub> {
  const entries = Object.entries(files).map(([path, content]) => [path, Buffer.from(content)] as const);
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const hub: LocalHub = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests: [],
    files: new Map(entries),
    lfs: new Set(lfs),
    faults: { cutAfter: [], statuses: [], isCorrupt: false, isDeaf: false, redirectTo: null, pageSize: 1000 },
    close: () => closeServer(server),
  };
  server.on('request', (request, response) => answer(hub, request, response));
  return hub;
}

async function closeServer(server: Server): Promise<void> {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
}

function answer(hub: LocalHub, request: IncomingMessage, response: ServerResponse): void {
  const { pathname, searchParams } = new URL(request.url ?? '/', hub.url);
  const token = request.headers.authorization ?? 'none';
  hub.requests.push(`${pathname} range=${request.headers.range ?? 'none'} token=${token}`);
  const status = hub.faults.statuses.shift();
  const revision = /^\/api\/(?:models|datasets)\/org\/tiny\/revision\/(.+)$/.exec(pathname)?.[1];
  const path = new RegExp(`^(?:/datasets)?/org/tiny/resolve/${COMMIT}/(.+)$`).exec(pathname)?.[1];
  const content = hub.files.get(decodeURIComponent(path ?? ''));
  if (status !== undefined) sendStatus(response, status);
  else if (revision === 'main') sendJson(response, { id: 'org/tiny', sha: COMMIT });
  else if (/^\/api\/(models|datasets)\/org\/tiny\/tree\//.test(pathname)) {
    sendTree(hub, response, Number(searchParams.get('cursor')));
  } else if (!content) sendStatus(response, 404);
  else if (hub.faults.redirectTo !== null) sendStatus(response, 302, { location: hub.faults.redirectTo + pathname });
  else sendFile(hub, content, request, response);
}

function sendStatus(response: ServerResponse, status: number, headers: Record<string, string> = {}): void {
  response.writeHead(status, headers).end();
}

function sendJson(response: ServerResponse, body: unknown): void {
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

function sendTree(hub: LocalHub, response: ServerResponse, start: number): void {
  const all = [...hub.files].map(([path, content]) => {
    const oid = createHash('sha1').update(`blob ${content.length}\0`).update(content).digest('hex');
    const lfs = { oid: createHash('sha256').update(content).digest('hex'), size: content.length, pointerSize: 100 };
    return { type: 'file', path, oid, size: content.length, ...(hub.lfs.has(path) ? { lfs } : {}) };
  });
  const end = start + hub.faults.pageSize;
  const next = `${hub.url}/api/models/org/tiny/tree/${COMMIT}?recursive=true&cursor=${end}`;
  if (end < all.length) response.setHeader('link', `<${next}>; rel="next"`);
  sendJson(response, [{ type: 'directory', path: 'folder', oid: 'x', size: 0 }, ...all.slice(start, end)]);
}

function sendFile(hub: LocalHub, content: Buffer, request: IncomingMessage, response: ServerResponse): void {
  const asked = hub.faults.isDeaf ? undefined : /^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1];
  const start = Number(asked ?? 0);
  if (start >= content.length && start > 0) {
    sendStatus(response, 416);
    return;
  }
  const body = Buffer.from(content.subarray(start));
  if (hub.faults.isCorrupt) body.fill(0);
  const range = { 'content-range': `bytes ${start}-${content.length - 1}/${content.length}` };
  response.writeHead(asked === undefined ? 200 : 206, {
    'content-length': body.length,
    ...(asked === undefined ? {} : range),
  });
  const cut = body.length > 1000 ? hub.faults.cutAfter.shift() : undefined;
  if (cut === undefined) response.end(body);
  else response.write(body.subarray(0, cut), () => setTimeout(() => response.destroy(), 50));
}
