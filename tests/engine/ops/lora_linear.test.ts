// lora_linear against its float64 twin.
import { loraLinearCases } from '../cases/lora_linear.ts';
import { proveOp } from '../proof.ts';

proveOp('lora_linear', loraLinearCases, { kernels: [] });
