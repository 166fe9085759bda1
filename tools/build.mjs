// Builds everything that runs: the command, the training task and the functions. Each bundle carries only
// what it imports.
//
//   dist/cli/main.js        the `cuttlefish` command: starts program.cjs, with program.cache as V8 compiled it (cli/start.ts)
//   dist/task/main.js       the training task, the same file in the container image and on the laptop
//   dist/task/thread.js     one of its further threads
//   dist/task/wasm/         what it computes with: the kernels of TensorFlow.js and our own (tools/build-kernels.mjs)
//   dist/train.asl.json     the workflow, as the command reads it
//   dist/functions/<name>/index.mjs   one folder per function, what serverless.yml packages; only with --functions
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { buildKernels } from './build-kernels.mjs';

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

/** zod brings its messages in fifty languages, more text than all of ours; we say things ourselves, in one. */
const oneLanguage = {
  name: 'one language',
  setup(plugin) {
    plugin.onLoad({ filter: /[\\/]zod[\\/]v4[\\/]locales[\\/]index\.js$/ }, ({ path }) => ({
      contents: "export { default as en } from './en.js';",
      resolveDir: dirname(path),
    }));
  },
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
  // Half the text to parse whenever a process starts; names stay, so that a stack trace says something.
  minifyWhitespace: true,
  minifySyntax: true,
  legalComments: 'none',
  logLevel: 'warning',
  banner,
  plugins: [oneLanguage],
};

// Not cleaned by default: a running task may still import its lazy chunks, which are named by content.
if (process.argv.includes('--clean')) {
  for (const part of ['cli', 'task', 'functions']) rmSync(join(root, 'dist', part), { recursive: true, force: true });
}

await Promise.all([
  buildCommand(),
  build({
    ...common,
    entryPoints: { main: 'container/main.ts', thread: 'container/engine/threads/thread.ts' },
    outdir: 'dist/task',
    splitting: true,
    chunkNames: 'chunks/[name]-[hash]',
  }),
  ...(process.argv.includes('--functions') ? [buildFunctions()] : []),
]);

writeFileSync(join(root, 'dist/train.asl.json'), require('./definition.cjs')());
const wasmFolder = join(dirname(require.resolve('@tensorflow/tfjs-backend-wasm/package.json')), 'dist');
mkdirSync(join(root, 'dist/task/wasm'), { recursive: true });
for (const folder of [wasmFolder, await buildKernels()]) {
  for (const file of readdirSync(folder).filter((name) => name.endsWith('.wasm'))) {
    copyFileSync(join(folder, file), join(root, 'dist/task/wasm', file));
  }
}
try {
  execFileSync(process.execPath, [join(root, 'tools/code-cache.mjs')], { stdio: ['ignore', 'ignore', 'pipe'] });
} catch (error) {
  // Where nothing may be started or listen, as in some builds of packages, the command is all there but for its haste.
  console.warn(`without dist/cli/program.cache the command starts more slowly: ${error.message}`);
}
if (!quiet) console.log(`built dist/ in ${Math.round(performance.now() - started)} ms`);

/** One script, whose lazy parts are compiled when they are needed, and the module that starts it. */
function buildCommand() {
  return Promise.all([
    build({ ...common, entryPoints: { main: 'cli/start.ts' }, outdir: 'dist/cli' }),
    build({
      ...common,
      entryPoints: { program: 'cli/main.ts' },
      outdir: 'dist/cli',
      format: 'cjs',
      outExtension: { '.js': '.cjs' },
      define: { 'import.meta.url': '__url' },
      banner: { js: "const __url = require('node:url').pathToFileURL(__filename).href;" },
    }),
  ]);
}

/** All in one call, which parses what they share once; each bundle still carries only what its handler imports. */
function buildFunctions() {
  const names = [
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
    'control',
  ];
  const namespace = 'function';
  return build({
    ...common,
    entryPoints: Object.fromEntries(names.map((name) => [`${kebab(name)}/index`, `${namespace}:${name}`])),
    outdir: 'dist/functions',
    outExtension: { '.js': '.mjs' },
    minify: true,
    sourcemap: false,
    plugins: [
      oneLanguage,
      {
        name: 'one entry for each handler',
        setup(plugin) {
          plugin.onResolve({ filter: /^function:/ }, ({ path }) => ({
            path: path.slice(namespace.length + 1),
            namespace,
          }));
          plugin.onLoad({ filter: /.*/, namespace }, ({ path }) => ({
            contents: `export { ${path} as handler } from './functions/handlers.ts';`,
            resolveDir: root,
            loader: 'ts',
          }));
        },
      },
    ],
  });
}

function kebab(name) {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}
