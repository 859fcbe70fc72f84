// swiglu against its float64 twin.
import { swigluCases } from '../cases/swiglu.ts';
import { proveOp } from '../proof.ts';

proveOp('swiglu', swigluCases, { kernels: ['RocitSwiglu', 'RocitSwigluGrad'] });
