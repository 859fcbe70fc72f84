// The figures of a bench as text, with the ratios that must hold (gate) and those the work aims at.
const UNSHARED = { float32: { gate: 1.7, aim: 2.2 }, bfloat16: { gate: 2.0, aim: 2.8 } };
/** By language, with the shipped defaults. */
const SHARED = {
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

export function describeSpeed({ machine, source, language, strategy, model, r, speed }) {
  if (speed.length === 0) return '';
  const { num_samples, num_tokens, num_targets, num_rows, threads } = speed[0].repeats[0].rocit;
  const head = [
    `${machine.processor}, ${threads} threads, load ${machine.load[0].toFixed(2)} at the start`,
    `${num_samples} samples of ${source}: ${num_tokens} tokens, ${num_targets} of them targets; ${model}, r = ${r}`,
    `packing.strategy ${strategy}: ${num_rows} rows computed`,
  ];
  const header = ['', 'tokens/s', 'samples/s', 'MB over loading', 'others %', 'ratio'];
  const rows = speed.flatMap(({ dtype, setting, repeats }) =>
    repeats.flatMap(({ rocit, peft }) => {
      const cells = (name, one, ratio) => [
        name,
        one.tokens_per_s.toFixed(1),
        one.samples_per_s.toFixed(2),
        (one.peak_memory_bytes / 1e6).toFixed(0),
        (100 * one.others_share).toFixed(0),
        ratio,
      ];
      const ours = cells(`rocit ${dtype}`, rocit, peft ? (rocit.tokens_per_s / peft.tokens_per_s).toFixed(2) : '');
      const name = `PEFT ${dtype}, batch ${setting?.batch_size}, autocast ${setting?.autocast}`;
      return peft === null ? [ours] : [ours, cells(name, peft, '')];
    }),
  );
  const lines = speed.map((one) => speedLine(one, strategy === 'tree' ? SHARED[language] : UNSHARED));
  return `${head.join('\n')}\n${table([header, ...rows])}${lines.join('')}`;
}

/** The ratio of the medians. */
export function speedRatio({ repeats }) {
  if (repeats.some(({ peft }) => peft === null)) return null;
  return median(repeats.map((x) => x.rocit.tokens_per_s)) / median(repeats.map((x) => x.peft.tokens_per_s));
}

function speedLine(one, limits) {
  const ratio = speedRatio(one);
  if (ratio === null) return '';
  const { num_tokens, num_rows } = one.repeats[0].rocit;
  const parts = `${(num_tokens / num_rows).toFixed(2)} from fewer tokens, ${((ratio * num_rows) / num_tokens).toFixed(2)} from faster ones`;
  const { gate, aim } = limits?.[one.dtype] ?? {};
  const judged =
    gate === undefined ? '' : `; gate ${gate}: ${verdict(ratio >= gate)}, aim ${aim}: ${verdict(ratio >= aim)}`;
  return `${one.dtype}: ${ratio.toFixed(2)} times PEFT (${parts}${judged})\n`;
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
