// Builds everything that runs: the command, the training task and the functions. One esbuild call each, so that a
// task or a function carries only what it imports.
//
//   dist/cli/main.js        the `cuttlefish` command (with its lazy chunks)
//   dist/task/main.js       the training task, the same file in the container image and on the laptop
//   dist/functions/<name>/index.mjs   one folder per function, what serverless.yml packages
import { copyFileSync, existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const require = createRequire(import.meta.url);
const quiet = process.argv.includes('--quiet');
const started = performance.now();

// Some of the bundled packages are CommonJS and expect these three names.
const banner = {
  js: [
    "import { createRequire as __cr } from 'node:module';",
    "import { fileURLToPath as __fu } from 'node:url';",
    "import { dirname as __dn } from 'node:path';",
    'const require = __cr(import.meta.url), __filename = __fu(import.meta.url), __dirname = __dn(__filename);',
  ].join('\n'),
};

const common = {
  absWorkingDir: root,
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node20',
  // 'module' first: with 'main' first esbuild drops the side-effect import that registers the tfjs cpu backend.
  mainFields: ['module', 'main'],
  external: ['@tensorflow/tfjs-node'],
  sourcemap: true,
  legalComments: 'none',
  logLevel: 'warning',
  banner,
};

// Not cleaned by default: a running command may still import its lazy chunks, which are named by content.
if (process.argv.includes('--clean')) {
  for (const part of ['cli', 'task', 'functions']) rmSync(join(root, 'dist', part), { recursive: true, force: true });
}

await Promise.all([
  build({
    ...common,
    entryPoints: { main: 'cli/main.ts' },
    outdir: 'dist/cli',
    splitting: true,
    chunkNames: 'chunks/[name]-[hash]',
  }),
  build({
    ...common,
    entryPoints: { main: 'container/main.ts' },
    outdir: 'dist/task',
    splitting: true,
    chunkNames: 'chunks/[name]-[hash]',
  }),
  ...functionNames().map((name) =>
    build({
      ...common,
      stdin: {
        contents: `export { ${name} as handler } from './functions/handlers.ts';`,
        resolveDir: root,
        loader: 'ts',
      },
      outfile: `dist/functions/${kebab(name)}/index.mjs`,
      minify: true,
      sourcemap: false,
      treeShaking: true,
    }),
  ),
]);

const wasmFolder = join(dirname(require.resolve('@tensorflow/tfjs-backend-wasm/package.json')), 'dist');
mkdirSync(join(root, 'dist/task/wasm'), { recursive: true });
for (const file of readdirSync(wasmFolder).filter((name) => name.endsWith('.wasm'))) {
  copyFileSync(join(wasmFolder, file), join(root, 'dist/task/wasm', file));
}
if (!quiet) console.log(`built dist/ in ${Math.round(performance.now() - started)} ms`);

/** The exported handler names; functions/handlers.ts lists them once and serverless.yml points at the same folders. */
function functionNames() {
  return existsSync(join(root, 'functions/handlers.ts'))
    ? [
        'validate',
        'plan',
        'scale',
        'launch',
        'watch',
        'decide',
        'finish',
        'fail',
        'release',
        'start',
        'onTaskEvent',
        'onExecutionEvent',
        'sweep',
      ]
    : [];
}

function kebab(name) {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}
