// rms_norm against its float64 twin.
import { rmsNormCases } from '../cases/rms_norm.ts';
import { proveOp } from '../proof.ts';

proveOp('rms_norm', rmsNormCases, { kernels: ['RocitRmsNorm', 'RocitRmsNormGrad'] });
