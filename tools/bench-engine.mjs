// `node tools/bench-engine.mjs [--json]`: what the engines cost by themselves (test/bench/engine.ts).
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';
import { buildKernels } from './build-kernels.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
// Beside dist/kernels, and with the packages of node_modules left where they are.
const outdir = join(root, 'dist/bench/engine');
await buildKernels();
await build({
  absWorkingDir: root,
  entryPoints: { main: 'test/bench/engine.ts' },
  outdir,
  bundle: true,
  splitting: true,
  platform: 'node',
  format: 'esm',
  target: 'node20',
  packages: 'external',
  outExtension: { '.js': '.mjs' },
  logLevel: 'warning',
});
const { main } = await import(pathToFileURL(join(outdir, 'main.mjs')).href);
await main(process.argv.slice(2));
