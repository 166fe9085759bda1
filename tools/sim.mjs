// `npm run sim -- [--seed N] [--runs M] [--trace]`: the gang protocol in virtual time, struck by faults. Every dial of a run
// is drawn from its seed; a seed that breaks a rule is printed with the command that replays it.
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const outfile = join(root, 'dist/sim/cli.mjs');
await build({
  absWorkingDir: root,
  entryPoints: ['test/sim/cli.ts'],
  outfile,
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node20',
  sourcemap: 'inline',
  logLevel: 'warning',
});
const { main } = await import(pathToFileURL(outfile).href);
process.exitCode = await main(process.argv.slice(2));
