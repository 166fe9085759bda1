// Builds the image of the training tasks, and pushes it where asked.
//
//   npm run image                              cuttlefish-task:<digest of the bundle>
//   npm run image -- --platform linux/arm64    for ARM64 tasks
//   npm run image -- --tensorflow              with the native TensorFlow engine
//   npm run image -- --push <repository uri>   also pushes it and prints the parameter for the deployment
//
// CUTTLEFISH_CONTAINER_ENGINE names the engine: docker (the default) or podman.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const engine = process.env.CUTTLEFISH_CONTAINER_ENGINE ?? 'docker';
const { values: options } = parseArgs({
  options: {
    push: { type: 'string' },
    platform: { type: 'string', default: 'linux/amd64' },
    tensorflow: { type: 'boolean', default: false },
  },
});
const run = (command, args) => execFileSync(command, args, { cwd: root, stdio: 'inherit' });

run(process.execPath, [join(root, 'tools/build.mjs'), '--clean', '--quiet']);
if (options.tensorflow && !existsSync(join(root, 'dist/native/node_modules/@tensorflow/tfjs-node'))) {
  fail('dist/native/node_modules has no @tensorflow/tfjs-node; docs/deploy.md says how to put it there');
}

// The same bundle gives the same tag, so a tag never changes its meaning.
const tag = `sha-${digestOf(join(root, 'dist/task')).slice(0, 12)}${options.tensorflow ? '-tensorflow' : ''}`;
const name = `${options.push ?? 'cuttlefish-task'}:${tag}`;
const target = options.tensorflow ? 'task-tensorflow' : 'task';
run(engine, [
  'build',
  '--platform',
  options.platform,
  '--file',
  'container/Dockerfile',
  '--target',
  target,
  '--tag',
  name,
  '.',
]);

if (options.push === undefined) {
  console.log(`built ${name}`);
} else {
  run(engine, ['push', name]);
  console.log(`pushed; deploy it with:\n  npx serverless deploy --param="image=${name}"`);
}

function digestOf(folder) {
  const hash = createHash('sha256');
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true }).sort(byPath)) {
    if (!entry.isFile() || entry.name.endsWith('.map')) continue;
    const path = join(entry.parentPath, entry.name);
    hash.update(`${path.slice(folder.length)}\0`).update(readFileSync(path));
  }
  return hash.digest('hex');
}

function byPath(a, b) {
  return join(a.parentPath, a.name) < join(b.parentPath, b.name) ? -1 : 1;
}

function fail(message) {
  console.error(message);
  process.exit(2);
}
