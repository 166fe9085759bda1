/** The simulation as one module, compiled from the sources as they are, or with some of them changed. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import type * as Cli from './cli.ts';
import type { Change } from './planted.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

export async function loadSimulation(changes: readonly Change[] = []): Promise<typeof Cli> {
  const changed = new Map<string, string>();
  for (const { file, find, replace } of changes) {
    const path = join(root, file);
    const source = changed.get(path) ?? (await readFile(path, 'utf8'));
    const times = source.split(find).length - 1;
    if (times !== 1) throw new Error(`${file} has this snippet ${times} times, not once:\n${find}`);
    changed.set(
      path,
      source.replace(find, () => replace),
    );
  }
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: ['test/sim/cli.ts'],
    bundle: true,
    write: false,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    logLevel: 'silent',
    plugins: [
      {
        name: 'changed sources',
        setup(plugin) {
          plugin.onLoad({ filter: /\.ts$/ }, ({ path }) => {
            const contents = changed.get(path);
            return contents === undefined ? undefined : { contents, loader: 'ts' };
          });
        },
      },
    ],
  });
  const code = outputFiles[0]?.contents ?? new Uint8Array();
  return (await import(`data:text/javascript;base64,${Buffer.from(code).toString('base64')}`)) as typeof Cli;
}
