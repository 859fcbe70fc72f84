// The progress bar of long commands, on stderr, with ETA. Without a terminal it is silent: logs stay readable.
import { clearLine, cursorTo } from 'node:readline';
import { Presets, SingleBar } from 'cli-progress';
import { clearBeforeLine } from '../core/log.ts';

export interface Bar {
  /** Share done in [0, 1], and what to show behind the bar. */
  update(share: number, text?: string): void;
  stop(): void;
}

const RESOLUTION = 1000;

/** Starts a bar; lines that are logged meanwhile appear above it. */
export function startBar(label: string): Bar {
  const format = `${label} {bar} {percentage}% · ETA {eta_formatted} {text}`;
  const options = { format, stream: process.stderr, clearOnComplete: true, hideCursor: true, etaBuffer: 50 };
  const bar = new SingleBar({ ...options, barsize: 20, gracefulExit: false }, Presets.shades_classic);
  bar.start(RESOLUTION, 0, { text: '' });
  clearBeforeLine(() => {
    if (!process.stderr.isTTY) return;
    cursorTo(process.stderr, 0);
    clearLine(process.stderr, 0);
  });
  return {
    update: (share, text = '') => bar.update(Math.floor(share * RESOLUTION), { text }),
    stop() {
      bar.stop();
      clearBeforeLine(() => {});
    },
  };
}
