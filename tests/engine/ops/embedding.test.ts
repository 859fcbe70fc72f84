// embedding against its float64 twin.
import { embeddingCases } from '../cases/embedding.ts';
import { proveOp } from '../proof.ts';

proveOp('embedding', embeddingCases, { kernels: ['RocitEmbedding'] });
