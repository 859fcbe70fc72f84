// Stopping long work politely: a signal asks, the next breath of the work obeys.
import { seconds } from './clock.ts';
import { Interrupted, type StopSignal } from './errors.ts';

const BREATH_SECONDS = 0.05;

let stopSignal: StopSignal | null = null;
let lastBreath = 0;

/** Asks the work in hand to stop at its next breath. */
export function requestStop(signal: StopSignal): void {
  stopSignal = signal;
}

/** Lets timers and signal handlers run, at most every 50 ms. Throws Interrupted once a stop was requested. */
export async function breathe(): Promise<void> {
  if (seconds() - lastBreath >= BREATH_SECONDS) {
    await new Promise((resolve) => setImmediate(resolve));
    lastBreath = seconds();
  }
  if (stopSignal !== null) throw new Interrupted(stopSignal);
}
