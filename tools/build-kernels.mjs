// Compiles the kernels of the plan compiler (container/engine/kernels, AssemblyScript) to dist/kernels:
//
//   portable.wasm   128-bit vectors, multiply and add as two operations
//   exact.wasm      the same with fused multiply-add (relaxed SIMD)
//
// The compiler takes seconds, so nothing is done while dist/kernels/sources says that it was made from these sources.
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const sources = join(root, 'container/engine/kernels');
const target = join(root, 'dist/kernels');

export const builds = {
  portable: ['--enable', 'simd'],
  exact: ['--enable', 'simd', '--enable', 'relaxed-simd'],
};
const options = ['-O3', '--noAssert', '--runtime', 'stub', '--importMemory'];

/** Makes dist/kernels what it should be; answers its folder. */
export async function buildKernels() {
  const digest = digestOfSources();
  if (read(join(target, 'sources')) === digest) return target;
  mkdirSync(target, { recursive: true });
  const { default: compiler } = await import('assemblyscript/asc');
  for (const [name, features] of Object.entries(builds)) put(`${name}.wasm`, await compile(compiler, name, features));
  put('sources', digest);
  return target;
}

/** The bytes of one build; the same sources and compiler give the same bytes. */
export async function compile(compiler, name, features) {
  let binary;
  const { error, stderr } = await compiler.main(['index.ts', '--outFile', name, ...options, ...features], {
    stdout: compiler.createMemoryStream(),
    stderr: compiler.createMemoryStream(),
    // It appends the extension that our imports carry already.
    readFile: (file) => read(join(sources, file.replace(/(\.ts)+$/, '.ts'))) ?? null,
    writeFile: (_file, contents) => {
      binary = contents;
    },
    listFiles: () => [],
  });
  if (error) throw new Error(`the kernels do not compile: ${error.message}\n${stderr}`);
  return binary;
}

function digestOfSources() {
  const hash = createHash('sha256');
  const compiler = readFileSync(join(root, 'node_modules/assemblyscript/package.json'), 'utf8');
  hash.update(JSON.stringify([JSON.parse(compiler).version, options, builds]));
  for (const file of readdirSync(sources).sort()) hash.update(file).update(readFileSync(join(sources, file)));
  return hash.digest('hex');
}

/** Whole or not at all: several builds may run beside each other. */
function put(file, contents) {
  const part = join(target, `.${file}.${process.pid}`);
  writeFileSync(part, contents);
  renameSync(part, join(target, file));
}

function read(file) {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await buildKernels();
