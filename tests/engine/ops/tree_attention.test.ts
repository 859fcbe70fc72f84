// tree_attention against its float64 twin.
import { treeAttentionCases } from '../cases/tree_attention.ts';
import { proveOp } from '../proof.ts';

proveOp('tree_attention', treeAttentionCases, { kernels: ['RocitTreeAttention', 'RocitTreeAttentionGrad'] });
