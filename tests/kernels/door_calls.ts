// Random calls that fit, for each door of the kernels; what is wrong about a value or an attribute stands beside it.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import type { Attributes, DType } from '../../src/engine/backend.ts';
import { runMany } from '../../src/engine/tensor.ts';
import { type Argument, absent, anywhere, bits, type Call, floats, ints } from '../support/calls.ts';
import {
  anyFloats,
  anyInts,
  finiteFloats,
  floatType,
  forest,
  indices,
  MOST_INT32,
  NO_FLOATS,
  NOT_FINITE,
  positive,
  repeat,
  size,
  subtreeEnds,
  wrongEnds,
} from '../support/random_sizes.ts';

/** Inputs go to the door in the order of `args`. */
function door(
  name: string,
  numOutputs: number,
  args: Record<string, Argument>,
  settings: Attributes,
  wrongSettings: readonly Attributes[] = [],
): Call {
  const run: Call['run'] = (tensors, _, all) => runMany(name, all, Object.values(tensors), numOutputs);
  return { args, settings, wrongSettings, run };
}

const eps = fc.constantFrom(0, 1e-5, 1);
const rows = fc.record({ N: size, C: size, type: floatType, values: anyFloats, hasMore: fc.boolean() });

const rmsNorm = fc.tuple(rows, eps).map(([{ N, C, type, values, hasMore }, eps]) => {
  const [x, weight] = [floats([N, C], values, type, hasMore ? {} : { free: [0] }), floats([C], values, type)];
  const residual = hasMore ? floats([N, C], values, type, { isOptional: true }) : absent(type);
  const wrong = [-1, ...NOT_FINITE].map((float) => ({ eps: { float } }));
  return door('RocitRmsNorm', 3, { x, residual, weight }, { T: { type }, eps: { float: eps } }, wrong);
});

const rmsNormGrad = rows.map(({ N, C, type, values, hasMore }) => {
  const [dy, sum, weight] = [floats([N, C], values, type), floats([N, C], values, type), floats([C], values, type)];
  const dsum = hasMore ? floats([N, C], values, type, { isOptional: true }) : absent(type);
  return door('RocitRmsNormGrad', 1, { dy, dsum, sum, weight, rstd: floats([N], values) }, { T: { type } });
});

const hyper = [0.1, 0.9, 0.999, 1e-8, 0, 1, 1, 0.1, 0.001];
const wrongHyper: [number, number][] = [
  ...anywhere(hyper.length, ...NOT_FINITE),
  ...[1, 2].flatMap((i) => [-0.5, 1].map((beta): [number, number] => [i, beta])),
  [3, -1],
  ...[7, 8].flatMap((i) => [0, -1].map((correction): [number, number] => [i, correction])),
];
const shapes = fc.array(fc.array(size, { maxLength: 2 }), { minLength: 1, maxLength: 3 });

const adamw = fc.tuple(shapes, fc.tuple(anyFloats, anyFloats, anyFloats, anyFloats)).map(([shapes, values]) => {
  const lists = ['params', 'grads', 'm', 'v'].flatMap((list, l) =>
    shapes.map((shape, i) => [`${list}[${i}]`, floats(shape, values[l] as number[])] as const),
  );
  const args = { ...Object.fromEntries(lists), hyper: bits(hyper, { wrong: wrongHyper }) };
  return door('RocitAdamw', 3 * shapes.length + 1, args, { N: shapes.length });
});

const turns = fc.record({
  heads: size,
  head_dim: positive,
  pairs: fc.nat(),
  positions: anyInts,
  frequencies: anyFloats,
  hasKeys: fc.boolean(),
});

const rope = fc.tuple(rows, turns).map(([{ N, type, values, hasMore }, turn]) => {
  const { heads, head_dim, hasKeys } = turn;
  const pairs = turn.pairs % (Math.floor(head_dim / 2) + 1);
  const free = head_dim === 1 ? [1] : [];
  const one = (heads: number) =>
    floats([N, heads * head_dim], values, type, { free, ...(!hasKeys && { wrongTypes: NO_FLOATS }) });
  const args = {
    'x[0]': one(heads),
    ...(hasKeys && { 'x[1]': one(1) }),
    position_ids: ints(repeat(turn.positions, N)),
    inv_freq: bits(repeat(turn.frequencies, pairs), { free: [0] }),
  };
  const P = hasKeys ? 2 : 1;
  const settings = { T: { type }, P, head_dim, interleaved: hasMore, direction: hasMore ? 1 : -1 };
  return door('RocitRope', P, args, settings, [{ head_dim: 0 }, { head_dim: -4 }, { direction: 2 }, { direction: 0 }]);
});

const swiglu = rows.map(({ N, C, type, values }) => {
  const args = { gate: floats([N, C], values, type), up: floats([N, C], values.toReversed(), type) };
  return door('RocitSwiglu', 1, args, { T: { type } });
});

const swigluGrad = rows.map(({ N, C, type, values }) => {
  const names = ['dy', 'gate', 'up'];
  const args = Object.fromEntries(names.map((name, i) => [name, floats([N, C], repeat(values, i + 1), type)]));
  return door('RocitSwigluGrad', 2, args, { T: { type } });
});

const embedding = fc.tuple(rows, size, anyInts).map(([{ N, C, type, values }, V, numbers]) => {
  const ids = indices(numbers, N, V);
  const args = {
    weight: floats([V, C], values, type, { free: [0, 1], wrongTypes: NO_FLOATS }),
    ids: ints(ids, { free: [0], wrong: anywhere(ids.length, -1, V, MOST_INT32) }),
  };
  return door('RocitEmbedding', 1, args, { T: { type } });
});

const entropy = fc
  .tuple(rows, fc.record({ V: size, E: size, numbers: anyInts, weights: finiteFloats }))
  .map(([{ N, C, type, values, hasMore }, { V, E, numbers, weights }]) => {
    const count = N * V === 0 ? 0 : E;
    const [rows, targets] = [indices(numbers, count, N), indices(numbers.toReversed(), count, V)];
    const args = {
      x: floats([N, C], values, type, { free: [0] }),
      weight: floats([V, C], values, type, { free: [0] }),
      edge_rows: ints(rows, { wrong: anywhere(count, -1, N, MOST_INT32) }),
      edge_targets: ints(targets, { wrong: anywhere(count, -100, V) }),
      edge_weights: bits(repeat(weights, count), { wrong: anywhere(count, ...NOT_FINITE) }),
    };
    return door('RocitLinearCrossEntropy', 3, args, { T: { type }, wants_dx: hasMore });
  });

const part = fc.record({
  out: size,
  R: size,
  hasBias: fc.boolean(),
  hasAdapter: fc.boolean(),
  hasGradient: fc.boolean(),
});
const layers = fc.record({
  parts: fc.array(part, { minLength: 1, maxLength: 4 }),
  scaling: fc.float({ noNaN: true, noDefaultInfinity: true }),
  dropout: fc.constantFrom(0, 0.5),
  seeds: anyInts,
});
const wrongSettings = (count: number): [number, number][] =>
  Array.from({ length: count }, (_, p) => [
    ...NOT_FINITE.map((scaling): [number, number] => [2 * p, scaling]),
    ...[1, -0.5, ...NOT_FINITE].map((dropout): [number, number] => [2 * p + 1, dropout]),
  ]).flat();

type Of<A> = A extends fc.Arbitrary<infer T> ? T : never;
type Rows = Of<typeof rows>;
type Layers = Of<typeof layers>;

/** What the doors of lora_linear have beside their input of width C. */
function projectionArguments(
  { N, C, type, values, hasMore }: Rows,
  { parts, scaling, dropout, seeds }: Layers,
  isGrad: boolean,
) {
  const P = parts.length;
  const each = (list: string, make: (one: (typeof parts)[number]) => Argument) =>
    Object.fromEntries(parts.map((one, p) => [`${list}[${p}]`, make(one)]));
  const isShared = ({ out, hasBias, hasAdapter, hasGradient }: (typeof parts)[number]) =>
    hasAdapter || (isGrad ? hasGradient : hasBias && out > 0);
  const numbers = repeat([scaling, dropout], 2 * P);
  const orAbsent = (isThere: boolean, shape: number[], dtype: DType = 'float32') =>
    isThere ? floats(shape, values, dtype, { isOptional: true }) : absent(dtype);
  const before = {
    ...each('da_before', ({ R, hasAdapter }) => orAbsent(hasAdapter && hasMore, [R, C])),
    ...each('db_before', ({ out, R, hasAdapter }) => orAbsent(hasAdapter && hasMore, [out, R])),
  };
  return {
    ...each('weights', (one) => floats([one.out, C], values, type, !isShared(one) ? { free: [0] } : {})),
    ...(!isGrad && each('biases', ({ out, hasBias }) => orAbsent(hasBias, [out], type))),
    ...each('a', ({ R, hasAdapter }) => (hasAdapter ? floats([R, C], values) : absent('float32'))),
    ...each('b', ({ out, R, hasAdapter }) => (hasAdapter ? floats([out, R], values) : absent('float32'))),
    ...(isGrad && {
      z: floats([N, parts.reduce((sum, { R, hasAdapter }) => sum + (hasAdapter ? R : 0), 0)], values),
      ...each('dy', ({ out, hasGradient }) => orAbsent(hasGradient, [N, out], type)),
    }),
    settings: bits(numbers, { wrong: wrongSettings(P) }, [P, 2]),
    seeds: ints(repeat(seeds, P)),
    ...(isGrad && before),
  };
}

/** Of a door whose first inputs and attributes are given; `numFirst` outputs of its gradient, `numExtra` of itself. */
function projectionDoor(
  name: string,
  { type, hasMore }: Pick<Rows, 'type' | 'hasMore'>,
  args: Record<string, Argument>,
  { isGrad, P, first, extra }: { isGrad: boolean; P: number; first: number; extra: number },
  more: { settings?: Attributes; wrong?: readonly Attributes[] } = {},
): Call {
  const attributes = { T: { type }, P, ...(isGrad && { wants_dx: hasMore }), ...more.settings };
  return door(isGrad ? `${name}Grad` : name, isGrad ? 2 * P + first : P + 1 + extra, args, attributes, more.wrong);
}

const loraLinear = (isGrad: boolean) =>
  fc.tuple(rows, layers).map(([row, layer]) => {
    const x = floats([row.N, row.C], row.values, row.type, isGrad ? {} : { free: [0] });
    const args = { x, ...projectionArguments(row, layer, isGrad) };
    return projectionDoor('RocitLoraLinear', row, args, { isGrad, P: layer.parts.length, first: 1, extra: 0 });
  });

const normedProjections = (isGrad: boolean) =>
  fc.tuple(rows, layers, eps).map(([row, layer, eps]) => {
    const { N, C, type, values, hasMore } = row;
    const norm_weight = floats([C], values, type);
    const optional = (shape: number[]) => (hasMore ? floats(shape, values, type, { isOptional: true }) : absent(type));
    const own = projectionArguments(row, layer, isGrad);
    const args: Record<string, Argument> = isGrad
      ? { sum: floats([N, C], values, type), norm_weight, ...own, dsum: optional([N, C]) }
      : {
          x: floats([N, C], values, type, hasMore ? {} : { free: [0] }),
          ...{ residual: optional([N, C]), norm_weight, ...own },
        };
    const wrong = [-1, ...NOT_FINITE].map((float) => ({ eps: { float } }));
    const counts = { isGrad, P: layer.parts.length, first: 1, extra: 1 };
    return projectionDoor('RocitRmsNormLoraLinear', row, args, counts, { settings: { eps: { float: eps } }, wrong });
  });

const gatedProjections = (isGrad: boolean) =>
  fc.tuple(rows, layers).map(([row, layer]) => {
    const { N, C, type, values } = row;
    const gates = { gate: floats([N, C], values, type), up: floats([N, C], values.toReversed(), type) };
    const args = { ...gates, ...projectionArguments(row, layer, isGrad) };
    return projectionDoor('RocitSwigluLoraLinear', row, args, { isGrad, P: layer.parts.length, first: 2, extra: 0 });
  });

const heads = fc.record({ group: fc.integer({ min: 1, max: 3 }), K: fc.integer({ min: 1, max: 3 }), D: positive });
const attentionCall = fc.record({ heads, forest, start: fc.nat(), type: floatType, values: anyFloats });

type AttentionCall = Of<typeof attentionCall>;

function attentionArguments({ heads: { group, K, D }, forest, start, type, values }: AttentionCall) {
  const ends = subtreeEnds(forest);
  const [S, H] = [ends.length, group * K];
  const query_start = start % (S + 1);
  const N = S - query_start;
  const inputs = {
    q: floats([N, H * D], values, type),
    k: floats([S, K * D], values, type),
    v: floats([S, K * D], values.toReversed(), type),
  };
  const outputs = { out: floats([N, H * D], values, type), lse: floats([N, H], values) };
  const bounds = {
    subtree_end: ints(ends, { wrong: wrongEnds(ends) }),
    query_start: ints(
      [query_start],
      {
        wrong: [
          [0, query_start + 1],
          [0, -1],
        ],
      },
      [],
    ),
  };
  const settings = { num_heads: H, num_key_value_heads: K, scale: { float: 0.3 } };
  const wrong = [
    ...NOT_FINITE.map((float) => ({ scale: { float } })),
    { num_heads: 0 },
    { num_heads: -H },
    { num_key_value_heads: 0 },
  ];
  return { N, width: H * D, inputs, outputs, bounds, settings, wrong };
}

const treeAttention = (isGrad: boolean) =>
  attentionCall.map((call) => {
    const { type, values } = call;
    const { N, width, inputs, outputs, bounds, settings, wrong } = attentionArguments(call);
    const all = { T: { type }, ...settings };
    if (!isGrad) return door('RocitTreeAttention', 2, { ...inputs, ...bounds }, all, wrong);
    const args = { dout: floats([N, width], values, type), ...inputs, ...outputs, ...bounds };
    return door('RocitTreeAttentionGrad', 3, args, all, wrong);
  });

const attendedProjections = (isGrad: boolean) =>
  fc.tuple(attentionCall, layers, fc.boolean()).map(([call, layer, hasMore]) => {
    const { N, width, inputs, outputs, bounds, settings, wrong } = attentionArguments(call);
    const row = { N, C: width, hasMore, type: call.type, values: call.values };
    const own = projectionArguments(row, layer, isGrad);
    const args = { ...inputs, ...(isGrad && outputs), ...bounds, ...own };
    const counts = { isGrad, P: layer.parts.length, first: 3, extra: 2 };
    return projectionDoor('RocitTreeAttentionLoraLinear', row, args, counts, { settings, wrong });
  });

/** Bytes that are finite values of every dtype at every place, then bytes that are none. */
const [FINITE_BYTES, OTHER_BYTES] = [300, 40];

/** Of a file that is written into the folder. */
const readTensor = (folder: string) => {
  const path = join(folder, 'random_calls');
  writeFileSync(path, Buffer.concat([Buffer.alloc(FINITE_BYTES, 0x3c), Buffer.alloc(OTHER_BYTES, 0xff)]));
  const tooShort = `a file of ${FINITE_BYTES + OTHER_BYTES} bytes`;
  const letters = [...Buffer.from(path)];
  const shape = fc.array(fc.integer({ min: 0, max: 5 }), { maxLength: 2 });
  const source = fc.constantFrom('float32' as const, 'float16' as const, 'bfloat16' as const);
  return fc.tuple(shape, source, floatType, fc.nat({ max: 200 })).map(([shape, source, type, offset]) => {
    const args: Record<string, Argument> = {
      path: {
        form: 'tensor',
        dtype: 'uint8',
        shape: [letters.length],
        values: letters,
        wrong: [[0, 0, `${letters.length} bytes`]],
      },
      offset: ints([offset, 0], {
        wrong: [
          [1, -1, `${offset - 2 ** 32}`],
          [1, 1, tooShort],
          [0, MOST_INT32, tooShort],
        ],
      }),
    };
    const settings = { source_type: { type: source }, T: { type }, shape: { shape }, check_finite: true };
    const wrong: Attributes[] = [
      { source_type: { type: 'int32' } },
      { T: { type: 'float16' } },
      { shape: { shape: [FINITE_BYTES + OTHER_BYTES] } },
      { shape: { shape: [Math.floor((FINITE_BYTES + OTHER_BYTES - offset) / 2)] }, source_type: { type: 'bfloat16' } },
    ];
    return door('RocitReadTensor', 1, args, settings, wrong);
  });
};

export function doorCalls(folder: string): Record<string, fc.Arbitrary<Call>> {
  return {
    RocitAdamw: adamw,
    RocitEmbedding: embedding,
    RocitLinearCrossEntropy: entropy,
    RocitLoraLinear: loraLinear(false),
    RocitLoraLinearGrad: loraLinear(true),
    RocitReadTensor: readTensor(folder),
    RocitRmsNorm: rmsNorm,
    RocitRmsNormGrad: rmsNormGrad,
    RocitRmsNormLoraLinear: normedProjections(false),
    RocitRmsNormLoraLinearGrad: normedProjections(true),
    RocitRope: rope,
    RocitSwiglu: swiglu,
    RocitSwigluGrad: swigluGrad,
    RocitSwigluLoraLinear: gatedProjections(false),
    RocitSwigluLoraLinearGrad: gatedProjections(true),
    RocitTreeAttention: treeAttention(false),
    RocitTreeAttentionGrad: treeAttention(true),
    RocitTreeAttentionLoraLinear: attendedProjections(false),
    RocitTreeAttentionLoraLinearGrad: attendedProjections(true),
  };
}
