// HTTP to a model hub: redirects, the token (to the hub's own host alone), retries, and errors for people.
import { messageOf, UserError } from '../core/errors.ts';
import { breathe } from '../core/interrupt.ts';
import { log } from '../core/log.ts';

export interface HubAccess {
  /** e.g. https://huggingface.co, without a slash at the end. */
  endpoint: string;
  token: string | null;
  /** Seconds before the first repetition; doubled each time. */
  backoffSeconds: number;
}

/** A fault that may pass: the request is worth repeating. */
export class Transient extends Error {
  override readonly name = 'Transient';
}

const ATTEMPTS = 6;
const MAX_REDIRECTS = 10;
const MAX_BACKOFF_SECONDS = 30;
const SILENCE_SECONDS = 60;
const DEFAULT_ENDPOINT = 'https://huggingface.co';

/** The hub and token that the environment names: HF_ENDPOINT, HF_TOKEN. */
export function hubFromEnvironment(): HubAccess {
  const endpoint = (process.env.HF_ENDPOINT || DEFAULT_ENDPOINT).replace(/\/+$/, '');
  if (!URL.canParse(endpoint) || !/^https?:/.test(endpoint)) {
    throw new UserError(`HF_ENDPOINT: expected a URL such as ${DEFAULT_ENDPOINT}, got ${endpoint}; correct it.`);
  }
  return { endpoint, token: process.env.HF_TOKEN?.trim() || null, backoffSeconds: 0.5 };
}

/** Repeats `work` after passing faults; an attempt that `advanced` says got further starts the count anew. */
export async function withRetries<T>(hub: HubAccess, work: () => Promise<T>, advanced = () => false): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof Transient)) throw error;
      if (advanced()) attempt = 1;
      if (attempt >= ATTEMPTS) {
        throw new UserError(
          `hub: expected an answer from ${hub.endpoint}, got none in ${ATTEMPTS} tries (${error.message}); check the network and HF_ENDPOINT${proxyHint()}, then run the same command: it goes on where it stopped.`,
        );
      }
      const seconds = Math.min(hub.backoffSeconds * 2 ** (attempt - 1), MAX_BACKOFF_SECONDS);
      log.info(`${error.message}; trying again in ${seconds} s`);
      await sleep(seconds);
    }
  }
}

function proxyHint(): string {
  const isSet = process.env.HTTPS_PROXY || process.env.https_proxy;
  return isSet ? ' (Node follows HTTPS_PROXY from version 24 on, with NODE_USE_ENV_PROXY=1)' : '';
}

async function sleep(seconds: number): Promise<void> {
  for (let left = seconds; left > 0; left -= 0.1) {
    await new Promise((resolve) => setTimeout(resolve, Math.min(left, 0.1) * 1000));
    await breathe();
  }
}

/**
 * One GET, redirects followed. Resolves for 2xx and 416; throws Transient for what may pass (no connection, 408, 429,
 * 5xx) and UserError for the rest. `what` is what is asked for, in words.
 */
export async function get(hub: HubAccess, url: string, what: string, range?: number): Promise<Response> {
  let target = new URL(url);
  for (let hop = 0; hop <= MAX_REDIRECTS; hop++) {
    const response = await fetchOnce(hub, target, range);
    const location = response.headers.get('location');
    if (response.status >= 300 && response.status < 400 && location !== null) {
      await response.body?.cancel();
      target = new URL(location, target);
      continue;
    }
    if (response.ok || response.status === 416) return response;
    await response.body?.cancel();
    throw statusError(hub, response.status, what);
  }
  throw new UserError(`hub: expected ${what}, got more than ${MAX_REDIRECTS} redirects; check HF_ENDPOINT.`);
}

/** The JSON of a GET and its headers, with retries. */
export async function getJson(hub: HubAccess, url: string, what: string): Promise<{ body: unknown; headers: Headers }> {
  return await withRetries(hub, async () => {
    const response = await get(hub, url, what);
    const text = await response.text().catch((error: unknown) => {
      throw new Transient(`${what}: ${causeOf(error)}`);
    });
    try {
      return { body: JSON.parse(text), headers: response.headers };
    } catch {
      throw new UserError(
        `hub: expected ${what} as JSON from ${response.url}, got ${JSON.stringify(text.slice(0, 40))}; check the network and HF_ENDPOINT.`,
      );
    }
  });
}

async function fetchOnce(hub: HubAccess, url: URL, range?: number): Promise<Response> {
  const headers: Record<string, string> = { 'user-agent': 'rocit', 'accept-encoding': 'identity' };
  if (hub.token !== null && url.origin === new URL(hub.endpoint).origin) headers.authorization = `Bearer ${hub.token}`;
  if (range) headers.range = `bytes=${range}-`;
  try {
    return await fetch(url, { headers, redirect: 'manual' });
  } catch (error) {
    throw new Transient(`no connection to ${url.host} (${causeOf(error)})`);
  }
}

function causeOf(error: unknown): string {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : null;
  return code ?? messageOf(cause);
}

function statusError(hub: HubAccess, status: number, what: string): Error {
  if (status === 408 || status === 429 || status >= 500) return new Transient(`${what}: HTTP ${status}`);
  const signedIn = hub.token === null ? 'HF_TOKEN is not set' : 'HF_TOKEN is set';
  const advice: Record<number, string> = {
    401: `it does not exist or is private: check the name, or set HF_TOKEN to a token that may read it (${signedIn})`,
    403: `its terms must be accepted on the hub's page first, with the account of HF_TOKEN (${signedIn})`,
    404: 'check the name and --revision',
  };
  return new UserError(
    `hub: expected ${what} at ${hub.endpoint}, got HTTP ${status}; ${advice[status] ?? 'check HF_ENDPOINT'}.`,
  );
}

/** The body's chunks. A cut or a silence of a minute is Transient. */
export async function* chunksOf(response: Response, what: string): AsyncGenerator<Uint8Array> {
  const reader = response.body?.getReader();
  if (!reader) return;
  try {
    while (true) {
      const { done, value } = await withinSilence(reader.read(), what);
      if (done) return;
      yield value;
      await breathe();
    }
  } catch (error) {
    if (error instanceof TypeError) throw new Transient(`${what}: the connection was cut (${causeOf(error)})`);
    throw error;
  } finally {
    await reader.cancel().catch(() => {});
  }
}

async function withinSilence<T>(promise: Promise<T>, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const silence = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Transient(`${what}: no data for ${SILENCE_SECONDS} s`)),
      SILENCE_SECONDS * 1000,
    );
  });
  try {
    return await Promise.race([promise, silence]);
  } finally {
    clearTimeout(timer);
  }
}
