// Writes what is made from the schema of the config: configs/run.schema.json and docs/config-reference.md.
// Run it after a change in core/config; test/unit/config-reference.test.ts fails when it was forgotten.
import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const bundle = await build({
  absWorkingDir: root,
  entryPoints: ['core/config/reference.ts'],
  bundle: true,
  platform: 'node',
  format: 'esm',
  write: false,
});
const code = Buffer.from(bundle.outputFiles[0].contents).toString('base64');
const { schemaFile, referencePage } = await import(`data:text/javascript;base64,${code}`);
writeFileSync(join(root, 'configs/run.schema.json'), schemaFile());
writeFileSync(join(root, 'docs/config-reference.md'), referencePage());
console.log('wrote configs/run.schema.json and docs/config-reference.md');
