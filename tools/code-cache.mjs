// Runs the built command once, in this process, and keeps what V8 compiled of it in dist/cli/program.cache: what was
// used is there the next time, what was not is compiled when it is needed. A plan uses most of what every command does.
import { renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const target = join(root, 'dist/cli/program.cache');

process.argv.splice(1, Infinity, join(root, 'dist/cli/main.js'), 'plan', join(root, 'configs/digits.yaml'), '--local');
const { keepCode } = await import('../dist/cli/main.js');
process.on('exit', (code) => {
  if (code !== 0) return;
  // Whole or not at all: several builds may run beside each other.
  const part = `${target}.${process.pid}`;
  writeFileSync(part, keepCode());
  renameSync(part, target);
});
