import { execFileSync } from 'node:child_process';

/** The e2e suites run the same bundles that a user runs; build them once, before any test. */
export default function setup(): void {
  // Several test runs beside each other would build the same thing.
  if (process.env.CUTTLEFISH_SKIP_BUILD === '1') return;
  execFileSync(process.execPath, ['tools/build.mjs', '--functions', '--quiet'], { stdio: 'inherit' });
}
