// Runs the built command once, in this process, and keeps what V8 compiled of it in dist/cli/program.cache: what was
// used is there the next time, what was not is compiled when it is needed. Training uses most of what every command does, and
// a network this small is trained in a second.
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const target = join(root, 'dist/cli/program.cache');
const folder = mkdtempSync(join(tmpdir(), 'cuttlefish-build-'));
const config = join(folder, 'small.yaml');
writeFileSync(
  config,
  `version: 1
name: small
data: {source: digits, samples: 64, testSamples: 16}
network: {layers: [{dense: {units: 10, activation: softmax}}]}
training: {epochs: 1, batchSize: 32, loss: softmaxCrossEntropy, optimizer: {kind: sgd}}
engine: portable
cluster: {workers: 1}
`,
);

process.argv.splice(1, Infinity, join(root, 'dist/cli/main.js'), 'train', config, '--state', join(folder, 'state'));
const { keepCode } = await import('../dist/cli/main.js');
process.on('exit', (code) => {
  rmSync(folder, { recursive: true, force: true });
  if (code !== 0) return;
  // Whole or not at all: several builds may run beside each other.
  const part = `${target}.${process.pid}`;
  writeFileSync(part, keepCode());
  renameSync(part, target);
});
