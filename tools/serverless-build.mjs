// Builds dist/ before the functions are packed, so that a bare `npx serverless package` or `deploy` never ships what
// was built from older sources. CUTTLEFISH_BUILT=1 says that it has just been built (the tests do).
import { execFileSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const build = join(dirname(fileURLToPath(import.meta.url)), 'build.mjs');

export default class BuildBeforePackage {
  hooks = {
    'before:package:createDeploymentArtifacts': () => {
      if (process.env.CUTTLEFISH_BUILT !== '1')
        execFileSync(process.execPath, [build, '--functions', '--quiet'], { stdio: 'inherit' });
    },
  };
}
