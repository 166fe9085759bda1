// Writes what is made from the code: configs/run.schema.json and docs/config-reference.md from the schema of the config,
// docs/failures.md from the tables of failures, the schemas of the workflow's input and output. A test fails for each when it was forgotten.
import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const bundle = await build({
  absWorkingDir: root,
  stdin: {
    contents: ['config/reference', 'failure-page', 'contract-files']
      .map((file) => `export * from './core/${file}.ts';`)
      .join('\n'),
    resolveDir: root,
  },
  bundle: true,
  platform: 'node',
  format: 'esm',
  write: false,
});
const code = Buffer.from(bundle.outputFiles[0].contents).toString('base64');
const { schemaFile, referencePage, failuresPage, inputSchemaFile, outputSchemaFile } = await import(
  `data:text/javascript;base64,${code}`
);
const files = {
  'configs/run.schema.json': schemaFile(),
  'docs/config-reference.md': referencePage(),
  'docs/failures.md': failuresPage(),
  'statemachines/train.input.schema.json': inputSchemaFile(),
  'statemachines/train.output.schema.json': outputSchemaFile(),
};
for (const [file, text] of Object.entries(files)) writeFileSync(join(root, file), text);
console.log(`wrote ${Object.keys(files).join(', ')}`);
