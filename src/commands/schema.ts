// rocit schema: the JSON schema of the config.
import { configJsonSchema } from '../config/schema.ts';

export function schemaCommand(): void {
  process.stdout.write(`${JSON.stringify(configJsonSchema(), null, 2)}\n`);
}
