// linear_cross_entropy against its float64 twin.
import { linearCrossEntropyCases } from '../cases/linear_cross_entropy.ts';
import { proveOp } from '../proof.ts';

proveOp('linear_cross_entropy', linearCrossEntropyCases, { kernels: [] });
