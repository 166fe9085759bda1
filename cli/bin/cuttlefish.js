#!/usr/bin/env node
// The `cuttlefish` command. It only starts the built bundle, so that `npx cuttlefish` finds it in node_modules/.bin;
// everything else is in cli/main.ts.
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const bundle = new URL('../../dist/cli/main.js', import.meta.url);
if (!existsSync(fileURLToPath(bundle))) {
  process.stderr.write(
    'cuttlefish: not built yet (was npm run with --ignore-scripts?): run "npm run build", then try again\n',
  );
  process.exit(2);
}
await import(bundle.href);
