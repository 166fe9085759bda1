// Builds the image of the training tasks and, where asked, pushes it to ECR and says what to deploy.
//
//   npm run image                              cuttlefish-task:<digest of the bundle>
//   npm run image -- --dry                     only lists what would be in it; needs no container engine
//   npm run image -- --platform linux/arm64    for ARM64 tasks
//   npm run image -- --tensorflow              with the native TensorFlow engine
//   npm run image -- --push <repository uri>   logs in, pushes, prints the parameter for the deployment, by digest
//
// CUTTLEFISH_CONTAINER_ENGINE names the engine: docker (the default) or podman. Pushing needs the aws command as well.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { contentsOf, describeContents, readRepository, tagOf } from './image-contents.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const engine = process.env.CUTTLEFISH_CONTAINER_ENGINE ?? 'docker';
const { values: options } = parseArgs({
  options: {
    dry: { type: 'boolean', default: false },
    push: { type: 'string' },
    platform: { type: 'string', default: 'linux/amd64' },
    tensorflow: { type: 'boolean', default: false },
  },
});
const run = (command, args) => execFileSync(command, args, { cwd: root, stdio: 'inherit' });
const ask = (command, args) => execFileSync(command, args, { encoding: 'utf8' }).trim();

const repository = options.push === undefined ? undefined : readRepository(options.push);
if (options.push !== undefined && repository === undefined) {
  fail(`"${options.push}" is no repository in ECR; accepted: <account>.dkr.ecr.<region>.amazonaws.com/<name>`);
}
run(process.execPath, [join(root, 'tools/build.mjs'), '--clean', '--quiet']);
const native = join(root, 'dist/native/node_modules');
if (options.tensorflow && !existsSync(join(native, '@tensorflow/tfjs-node'))) {
  fail('dist/native/node_modules has no @tensorflow/tfjs-node; docs/deploy.md says how to put it there');
}

const contents = contentsOf(root, ['dist/task', ...(options.tensorflow ? ['dist/native/node_modules'] : [])]);
for (const line of describeContents(contents)) console.log(line);
// The same bundle gives the same tag, and a tag never changes its meaning.
const tag = tagOf(contents, options.platform, options.tensorflow);

if (options.dry) console.log(`nothing was built; it would be ${options.push ?? 'cuttlefish-task'}:${tag}`);
else if (spawnSync(engine, ['info'], { stdio: 'ignore' }).status !== 0) {
  fail(`no container engine answers as "${engine}": nothing was built (CUTTLEFISH_CONTAINER_ENGINE names another)`);
} else if (repository === undefined) {
  build(`cuttlefish-task:${tag}`);
  console.log(`built cuttlefish-task:${tag}`);
} else {
  console.log(`deploy it with:\n  npx serverless deploy --param="image=${options.push}@${push()}"`);
}

function build(name) {
  const target = options.tensorflow ? 'task-tensorflow' : 'task';
  const from = ['--file', 'container/Dockerfile', '--target', target, '--platform', options.platform];
  run(engine, ['build', ...from, '--tag', name, '.']);
}

/** Answers the digest. Tags are immutable there, so what was pushed before is found, not pushed again. */
function push() {
  const before = digestInRepository();
  if (before !== undefined) return before;
  const name = `${options.push}:${tag}`;
  build(name);
  const password = ask('aws', ['ecr', 'get-login-password', '--region', repository.region]);
  execFileSync(engine, ['login', '--username', 'AWS', '--password-stdin', repository.registry], {
    input: password,
    stdio: ['pipe', 'inherit', 'inherit'],
  });
  run(engine, ['push', name]);
  return digestInRepository() ?? fail(`${name} was pushed and cannot be found in its repository`);
}

function digestInRepository() {
  const { status, stdout } = spawnSync(
    'aws',
    [
      ...['ecr', 'describe-images', '--region', repository.region, '--repository-name', repository.name],
      ...['--image-ids', `imageTag=${tag}`, '--query', 'imageDetails[0].imageDigest', '--output', 'text'],
    ],
    { encoding: 'utf8' },
  );
  const digest = stdout?.trim();
  return status === 0 && digest.startsWith('sha256:') ? digest : undefined;
}

function fail(message) {
  console.error(message);
  process.exit(2);
}
