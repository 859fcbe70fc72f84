// The learning rate over the steps: linear warm-up, then constant, linear or cosine decay to zero.

export interface ScheduleSettings {
  name: 'constant' | 'linear' | 'cosine';
  /** Share of all steps that warm up, rounded up to whole steps. */
  warmup_ratio: number;
}

/**
 * The rate of one step, counted from 1. The warm-up reaches the peak at its last step and the decay would reach zero
 * one step after the last, so that every step moves the weights.
 */
export function learningRateAt(step: number, total: number, peak: number, settings: ScheduleSettings): number {
  const warmup = Math.ceil(settings.warmup_ratio * total);
  if (step <= warmup) return (peak * step) / warmup;
  const done = (step - 1 - warmup) / (total - warmup);
  switch (settings.name) {
    case 'constant':
      return peak;
    case 'linear':
      return peak * (1 - done);
    case 'cosine':
      return (peak * (1 + Math.cos(Math.PI * done))) / 2;
    default:
      return settings.name satisfies never;
  }
}
