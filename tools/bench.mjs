// `npm run bench`: builds the command and test/bench/, and runs the bench. What it measures is in test/bench/README.md.
import { execFileSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const outdir = join(root, 'dist/bench');
execFileSync(process.execPath, [join(root, 'tools/build.mjs'), '--functions', '--quiet'], {
  stdio: ['ignore', 'ignore', 'inherit'],
});
await build({
  absWorkingDir: root,
  // The others are processes of their own; where they lie, they find dist/kernels.
  entryPoints: {
    main: 'test/bench/main.ts',
    'wire/all-reduce': 'test/bench/all-reduce.ts',
    'limits/limits': 'test/bench/limits.ts',
  },
  outdir,
  outExtension: { '.js': '.mjs' },
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node20',
  logLevel: 'warning',
});
const { main } = await import(pathToFileURL(join(outdir, 'main.mjs')).href);
try {
  await main(root, process.argv.slice(2));
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
