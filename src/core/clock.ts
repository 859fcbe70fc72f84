// The only place that reads the time, so that nothing else can depend on it by accident.
import { performance } from 'node:perf_hooks';

/** Seconds since the process started, monotonic. */
export function seconds(): number {
  return performance.now() / 1000;
}

/** Seconds since 1970. */
export function unixSeconds(): number {
  return Date.now() / 1000;
}
