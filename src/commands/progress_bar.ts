// The progress bar of long commands, on stderr, with ETA. Without a terminal it is silent: logs stay readable.
import { clearLine, cursorTo } from 'node:readline';
import { Presets, SingleBar } from 'cli-progress';
import { seconds } from '../core/clock.ts';
import { clearBeforeLine } from '../core/log.ts';

export interface Bar {
  /** Share done in [0, 1], and what to show behind the bar. */
  update(share: number, text?: string): void;
  stop(): void;
}

const RESOLUTION = 1000;

/** Starts a bar; lines that are logged meanwhile appear above it. */
export function startBar(label: string): Bar {
  const format = `${label} {bar} {percentage}% · ETA {left} {text}`;
  const options = { format, stream: process.stderr, clearOnComplete: true, hideCursor: true };
  const bar = new SingleBar({ ...options, barsize: 20, gracefulExit: false }, Presets.shades_classic);
  bar.start(RESOLUTION, 0, { text: '', left: '…' });
  let first: { at: number; share: number } | null = null;
  clearBeforeLine(() => {
    if (!process.stderr.isTTY) return;
    cursorTo(process.stderr, 0);
    clearLine(process.stderr, 0);
  });
  return {
    update(share, text = '') {
      first ??= { at: seconds(), share };
      const left = timeLeft(seconds() - first.at, share - first.share, 1 - share);
      bar.update(Math.floor(share * RESOLUTION), { text, left });
    },
    stop() {
      bar.stop();
      clearBeforeLine(() => {});
    },
  };
}

/** What is left at the mean rate since the bar's first update: a resumed run does not count what it found done. */
function timeLeft(elapsed: number, done: number, left: number): string {
  return done > 0 ? duration((elapsed / done) * left) : '…';
}

/** Seconds for people: `42 s`, `12 min`, `3 h 5 min`. */
export function duration(total: number): string {
  if (total < 90) return `${total.toFixed(0)} s`;
  const minutes = Math.round(total / 60);
  return minutes < 90 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
