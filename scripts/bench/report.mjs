// The figures of a bench as text, with the ratios that must hold (gate) and those the work aims at.
const SPEED = {
  unshared: { float32: { gate: 1.7, aim: 2.2 }, bfloat16: { gate: 2.0, aim: 2.8 } },
  zh: { float32: { gate: 6.5, aim: 10 }, bfloat16: { gate: 8, aim: 12 } },
  eng: { float32: { gate: 4, aim: 6 }, bfloat16: { gate: 5, aim: 7 } },
};
const MEMORY = { rocit: { gate: 1 / 2, aim: 1 / 3 }, rocit_recompute: { gate: 1 / 3, aim: 1 / 5 } };

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[(sorted.length - 1) >> 1];
}

/** Columns of words, numbers to the right. */
function table(rows) {
  const widths = rows[0].map((_, i) => Math.max(...rows.map((row) => row[i].length)));
  const cell = (text, i) => (/^[\d.]/.test(text) ? text.padStart(widths[i]) : text.padEnd(widths[i]));
  return rows.map((row) => `${row.map(cell).join('  ').trimEnd()}\n`).join('');
}

const verdict = (holds) => (holds ? 'holds' : 'missed');

export function describeSpeed({ machine, source, gated, strategy, model, lora, max_tokens, steps, speed }) {
  if (speed.length === 0) return '';
  const { num_samples, num_tokens, num_equivalent_tokens, num_targets, threads } = speed[0].repeats[0].rocit;
  const ofSteps = steps === null ? '' : ` in the first ${steps === 1 ? 'step' : `${steps} steps`}`;
  const head = [
    `${machine.processor}, ${threads} threads, load ${machine.load[0].toFixed(2)} at the start`,
    `${num_samples} samples of ${source}${ofSteps}: ${num_equivalent_tokens} tokens, ${num_targets} of them targets`,
    `packing.strategy ${strategy}: ${num_tokens} tokens to compute, in packs of ${max_tokens}; ${model}, r = ${lora.r}`,
  ];
  const header = ['', 'tokens/s', 'equivalent tokens/s', 'samples/s', 'MB over loading', 'others %', 'ratio'];
  const rows = speed.flatMap(({ dtype, setting, repeats }) =>
    repeats.flatMap(({ rocit, peft }) => {
      const cells = (name, one, ratio) => [
        ...[name, tokensPerSecond(one).toFixed(1), equivalentPerSecond(one).toFixed(1)],
        samplesPerSecond(one, rocit).toFixed(2),
        ...[(one.peak_memory_bytes / 1e6).toFixed(0), (100 * one.others_share).toFixed(0), ratio],
      ];
      if (peft === null) return [cells(`rocit ${dtype}`, rocit, '')];
      const name = `PEFT ${dtype}, batch ${setting.batch_size}, autocast ${setting.autocast}, ${peft.num_samples} samples`;
      const ratio = speedRatio({ repeats: [{ rocit, peft }] }, strategy).toFixed(2);
      return [cells(`rocit ${dtype}`, rocit, ratio), cells(name, peft, '')];
    }),
  );
  const lines = speed.map((one) => speedLine(one, strategy, SPEED[gated]?.[one.dtype]));
  return `${head.join('\n')}\n${table([header, ...rows])}${lines.join('')}`;
}

/** Computed tokens. */
const tokensPerSecond = ({ num_tokens, seconds }) => num_tokens / seconds;
/** What the same samples have when nothing is shared. */
const equivalentPerSecond = ({ num_equivalent_tokens, seconds }) => num_equivalent_tokens / seconds;
/** Of samples as long as those of `ours` are on average. */
const samplesPerSecond = (one, ours) => (equivalentPerSecond(one) * ours.num_samples) / ours.num_equivalent_tokens;

/** The ratio of the medians: of samples/s where tokens are shared, else of tokens/s. */
export function speedRatio({ repeats }, strategy) {
  if (repeats.some(({ peft }) => peft === null)) return null;
  const rate = strategy === 'tree' ? samplesPerSecond : tokensPerSecond;
  const medianOf = (program) => median(repeats.map((repeat) => rate(repeat[program], repeat.rocit)));
  return medianOf('rocit') / medianOf('peft');
}

function speedLine(one, strategy, limits) {
  const ratio = speedRatio(one, strategy);
  if (ratio === null) return '';
  const { num_tokens, num_equivalent_tokens } = one.repeats[0].rocit;
  const fewer = num_equivalent_tokens / num_tokens;
  const parts = `${fewer.toFixed(2)} from fewer tokens, ${(ratio / fewer).toFixed(2)} from the kernels`;
  const { gate, aim } = limits ?? {};
  const judged = limits && `; gate ${gate}: ${verdict(ratio >= gate)}, aim ${aim}: ${verdict(ratio >= aim)}`;
  const unit = strategy === 'tree' ? 'samples/s' : 'tokens/s';
  return `${one.dtype}: ${ratio.toFixed(2)} times PEFT in ${unit} (${parts}${judged ?? ''})\n`;
}

export function describeMemory({ memory }) {
  return memory.map(memoryLines).join('');
}

function memoryLines({ dtype, num_tokens, ...rows }) {
  const names = {
    ...{ rocit: 'rocit', rocit_recompute: 'rocit, recompute', peft: 'PEFT' },
    peft_checkpointing: 'PEFT, gradient checkpointing',
  };
  const lines = Object.entries(rows).map(([key, { peak_memory_bytes, loaded_memory_bytes }]) => {
    const limits = rows.peft === undefined ? undefined : MEMORY[key];
    const ratio = rows.peft === undefined ? 1 : peak_memory_bytes / rows.peft.peak_memory_bytes;
    const judged =
      limits === undefined
        ? ''
        : `: ${ratio.toFixed(3)} of PEFT (gate ${limits.gate.toFixed(2)}: ${verdict(ratio <= limits.gate)}, aim ${limits.aim.toFixed(2)}: ${verdict(ratio <= limits.aim)})`;
    const bytes = `${(peak_memory_bytes / 1e6).toFixed(0)} MB over the ${(loaded_memory_bytes / 1e6).toFixed(0)} after loading`;
    return `${names[key]} ${dtype}, one micro-batch of ${num_tokens} tokens: ${bytes}${judged}\n`;
  });
  return lines.join('');
}
