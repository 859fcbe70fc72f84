// npm start: sets everything up, then runs the main job.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { root } from './bootstrap/steps.mjs';
import { bootstrap, runAsProgram } from './bootstrap.mjs';

await runAsProgram(async () => {
  await bootstrap();
  const result = spawnSync(process.execPath, [join(root, 'dist/cli.js'), '--help'], { cwd: root, stdio: 'inherit' });
  process.exitCode = result.status ?? 1;
});
