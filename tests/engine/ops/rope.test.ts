// rope against its float64 twin.
import { ropeCases } from '../cases/rope.ts';
import { proveOp } from '../proof.ts';

proveOp('rope', ropeCases, { kernels: ['RocitRope'] });
