// tfjs's own CPU backend in the place of TensorFlow: the primitives by TensorFlow's names, float32 and int32 only.
// For machines without Python or a compiler; nothing here is fast.
import type * as tfjs from '@tensorflow/tfjs-core';
import type { Attribute, Attributes, Backend, DType, HostArray, Output } from './backend.ts';

type Tf = typeof tfjs;
type Operation = (tf: Tf, inputs: tfjs.Tensor[], attributes: Attributes) => tfjs.Tensor | tfjs.Tensor[];

const flag = (attributes: Attributes, name: string) => attributes[name] === true;
const ints = (t: tfjs.Tensor | undefined) => Array.from((t as tfjs.Tensor).dataSync());
const first = (t: tfjs.Tensor | undefined) => ints(t)[0] as number;

const unary =
  (op: (tf: Tf) => (x: tfjs.Tensor) => tfjs.Tensor): Operation =>
  (tf, [x]) =>
    op(tf)(x as tfjs.Tensor);
const binary =
  (op: (tf: Tf) => (a: tfjs.Tensor, b: tfjs.Tensor) => tfjs.Tensor): Operation =>
  (tf, [a, b]) =>
    op(tf)(a as tfjs.Tensor, b as tfjs.Tensor);
const reduction =
  (op: (tf: Tf) => (x: tfjs.Tensor, axes: number[], keepDims: boolean) => tfjs.Tensor): Operation =>
  (tf, [x, axes], attributes) =>
    op(tf)(x as tfjs.Tensor, ints(axes), flag(attributes, 'keep_dims'));

const OPERATIONS: Record<string, Operation> = {
  AddV2: binary((tf) => tf.add),
  Sub: binary((tf) => tf.sub),
  Mul: binary((tf) => tf.mul),
  RealDiv: binary((tf) => tf.div),
  Less: binary((tf) => tf.less),
  LessEqual: binary((tf) => tf.lessEqual),
  GreaterEqual: binary((tf) => tf.greaterEqual),
  LogicalAnd: binary((tf) => tf.logicalAnd),
  Exp: unary((tf) => tf.exp),
  Log: unary((tf) => tf.log),
  Sqrt: unary((tf) => tf.sqrt),
  Rsqrt: unary((tf) => tf.rsqrt),
  Square: unary((tf) => tf.square),
  Sigmoid: unary((tf) => tf.sigmoid),
  Cos: unary((tf) => tf.cos),
  Sin: unary((tf) => tf.sin),
  ZerosLike: unary((tf) => tf.zerosLike),
  Identity: unary((tf) => tf.clone),
  Sum: reduction((tf) => tf.sum),
  Max: reduction((tf) => tf.max),
  Mean: reduction((tf) => tf.mean),
  SelectV2: (tf, [condition, a, b]) => tf.where(condition as tfjs.Tensor, a as tfjs.Tensor, b as tfjs.Tensor),
  MatMul: (tf, [a, b], attributes) =>
    tf.matMul(a as tfjs.Tensor, b as tfjs.Tensor, flag(attributes, 'transpose_a'), flag(attributes, 'transpose_b')),
  BatchMatMulV2: (tf, [a, b], attributes) =>
    tf.matMul(a as tfjs.Tensor, b as tfjs.Tensor, flag(attributes, 'adj_x'), flag(attributes, 'adj_y')),
  Cast: (tf, [x], attributes) => tf.cast(x as tfjs.Tensor, tfjsType(typeAttribute(attributes.DstT))),
  Reshape: (tf, [x, shape]) => tf.reshape(x as tfjs.Tensor, ints(shape)),
  Transpose: (tf, [x, permutation]) => tf.transpose(x as tfjs.Tensor, ints(permutation)),
  Slice: (tf, [x, begin, size]) => tf.slice(x as tfjs.Tensor, ints(begin), ints(size)),
  ConcatV2: (tf, inputs) => tf.concat(inputs.slice(0, -1), first(inputs.at(-1))),
  GatherV2: (tf, [x, indices, axis]) => tf.gather(x as tfjs.Tensor, indices as tfjs.Tensor, first(axis)),
  GatherNd: (tf, [x, indices]) => tf.gatherND(x as tfjs.Tensor, indices as tfjs.Tensor),
  ScatterNd: (tf, [indices, updates, shape]) =>
    tf.scatterND(indices as tfjs.Tensor, updates as tfjs.Tensor, ints(shape)),
  Fill: (tf, [shape, value]) => tf.fill(ints(shape), first(value), (value as tfjs.Tensor).dtype as 'float32'),
  StatelessRandomUniform: (tf, [shape, key]) => tf.randomUniform(ints(shape), 0, 1, 'float32', first(key)),
};

export async function createTfjsBackend(): Promise<Backend> {
  const tf = await import('@tensorflow/tfjs-core');
  await import('@tensorflow/tfjs-backend-cpu');
  // Otherwise tfjs prints an advertisement for its Node package.
  tf.enableProdMode();
  await tf.setBackend('cpu');
  const tensors = new Map<number, tfjs.Tensor>();
  let next = 0;
  const keep = (t: tfjs.Tensor): number => {
    tensors.set(++next, t);
    return next;
  };
  return {
    name: 'tfjs',
    device: 'cpu',
    version: null,
    kernelsBuild: null,
    kernels: new Set(),
    computeSeconds: () => 0,
    create: (values, shape, dtype) => keep(tf.tensor(values.slice(), [...shape], tfjsType(dtype))),
    read: (handle) => hostCopy(tensors.get(handle) as tfjs.Tensor),
    free(handle) {
      tensors.get(handle)?.dispose();
      tensors.delete(handle);
    },
    execute(name, attributes, inputs): Output[] {
      const operation = OPERATIONS[name];
      if (operation === undefined) throw new Error('not available on the tfjs CPU backend');
      const results = operation(
        tf,
        inputs.map((id) => tensors.get(id) as tfjs.Tensor),
        attributes,
      );
      return [results].flat().map((t) => ({ handle: keep(t), shape: [...t.shape], dtype: t.dtype as DType }));
    },
  };
}

/** A copy of the values, typed also where there are none, for which tfjs may give a plain array. */
function hostCopy(t: tfjs.Tensor): HostArray {
  const values = t.dataSync();
  if (t.dtype === 'float32') return Float32Array.from(values);
  return t.dtype === 'bool' ? Uint8Array.from(values) : Int32Array.from(values);
}

function typeAttribute(attribute: Attribute | undefined): DType {
  if (typeof attribute === 'object' && 'type' in attribute) return attribute.type;
  throw new Error('expected a type attribute');
}

function tfjsType(dtype: DType): 'float32' | 'int32' | 'bool' {
  if (dtype === 'bfloat16' || dtype === 'float16') throw new Error(`${dtype} is not available on the tfjs CPU backend`);
  return dtype === 'uint8' ? 'int32' : dtype;
}
