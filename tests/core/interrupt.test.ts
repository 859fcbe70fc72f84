import { describe, expect, it, vi } from 'vitest';

/** A fresh copy of the module: a requested stop is for the life of a process. */
async function freshModule() {
  vi.resetModules();
  return { ...(await import('../../src/core/interrupt.ts')), ...(await import('../../src/core/errors.ts')) };
}

describe('breathe', () => {
  it('lets timers run in the middle of long work', async () => {
    const { breathe } = await freshModule();
    let ticks = 0;
    const timer = setInterval(() => ticks++, 5);
    const end = performance.now() + 400;
    while (performance.now() < end) await breathe();
    clearInterval(timer);
    expect(ticks).toBeGreaterThan(2);
  });

  it('throws Interrupted with the signal, from the next breath on', async () => {
    const { breathe, requestStop, Interrupted } = await freshModule();
    await breathe();
    requestStop('SIGTERM');
    const stopped = await breathe().catch((error: unknown) => error);
    expect(stopped).toBeInstanceOf(Interrupted);
    expect(stopped).toMatchObject({ signal: 'SIGTERM', message: 'stopped by SIGTERM' });
    await expect(breathe()).rejects.toBeInstanceOf(Interrupted);
  });

  it('costs little where it does not yield', async () => {
    const { breathe } = await freshModule();
    const start = performance.now();
    for (let i = 0; i < 10_000; i++) await breathe();
    expect(performance.now() - start).toBeLessThan(1000);
  });
});
