// SwiGLU (Shazeer, arXiv 2002.05202): y = silu(gate) · up. Backward recomputes from gate and up.
import { needsGradient, record } from '../autograd.ts';
import * as p from '../primitives.ts';
import { hasKernel } from '../runtime.ts';
import { run, runMany, scope, type Tensor } from '../tensor.ts';
import { checkFloat, checkShapes } from './check.ts';

export interface SwigluArguments {
  /** [N, F] float32 or bfloat16. */
  gate: Tensor;
  /** [N, F], same dtype. */
  up: Tensor;
}

/** gate, up [N, F] → [N, F]. */
export function swiglu(args: SwigluArguments): Tensor {
  const { gate, up } = args;
  checkSwiglu('swiglu', args);
  const compute = hasKernel('RocitSwiglu') ? forwardKernel : forwardComposition;
  const y = scope(() => compute(gate, up));
  if (needsGradient(gate, up)) {
    record({
      inputs: [gate, up],
      outputs: [y],
      saved: [gate, up],
      backward: ([dy]) => {
        const gradient = hasKernel('RocitSwigluGrad') ? gradientKernel : gradientComposition;
        return gradient(dy as Tensor, gate, up);
      },
    });
  }
  return y;
}

export function checkSwiglu(op: string, { gate, up }: SwigluArguments): void {
  checkShapes(op, { gate: [gate, 'N', 'F'], up: [up, 'N', 'F'] });
  checkFloat(op, { gate, up });
}

function forwardKernel(gate: Tensor, up: Tensor): Tensor {
  return run('RocitSwiglu', { T: { type: gate.dtype } }, [gate, up]);
}

function forwardComposition(gate: Tensor, up: Tensor): Tensor {
  const wide = p.cast(gate, 'float32');
  return p.cast(p.mul(p.mul(wide, p.sigmoid(wide)), p.cast(up, 'float32')), gate.dtype);
}

function gradientKernel(dy: Tensor, gate: Tensor, up: Tensor): Tensor[] {
  return runMany('RocitSwigluGrad', { T: { type: dy.dtype } }, [dy, gate, up], 2);
}

// d silu(g) = σ(g) · (1 + g · (1 − σ(g)))
function gradientComposition(dy: Tensor, gate: Tensor, up: Tensor): Tensor[] {
  const [d, g, u] = [dy, gate, up].map((t) => p.cast(t, 'float32')) as [Tensor, Tensor, Tensor];
  const s = p.sigmoid(g);
  const silu = p.mul(g, s);
  const slope = p.add(s, p.mul(silu, p.sub(p.fill(1, [], 'float32'), s)));
  return [p.mul(p.mul(d, u), slope), p.mul(d, silu)].map((t) => p.cast(t, gate.dtype));
}
