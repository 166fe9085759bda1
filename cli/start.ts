/**
 * Starts the command from what the build made of it: one script, and beside it what V8 had compiled of that script when the
 * build ran it (its code cache). Compiling was half of what the command took before it read its first line of YAML.
 *
 * Invariants
 *  ST1 The code cache is used only when it was made of exactly this script and is whole: it begins with a digest over both.
 *      V8 itself refuses that of another version or of other flags. Without it everything is the same, only slower.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { constants, Script } from 'node:vm';

const folder = dirname(fileURLToPath(import.meta.url));
const path = join(folder, 'program.cjs');
const source = readFileSync(path);

/** ST1. */
function codeCache(): Buffer | undefined {
  try {
    const kept = readFileSync(join(folder, 'program.cache'));
    const code = kept.subarray(digestBytes);
    return digestOf(code).equals(kept.subarray(0, digestBytes)) ? code : undefined;
  } catch {
    return undefined;
  }
}

const digestBytes = 32;
function digestOf(code: Uint8Array): Buffer {
  return createHash('sha256').update(source).update(code).digest();
}

const cachedData = codeCache();
const script = new Script(`(function (require, __filename, __dirname) {${source.toString('latin1')}\n})`, {
  filename: path,
  ...(cachedData === undefined ? {} : { cachedData }),
  importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
});

/** What to keep as `program.cache`: asked by the build, at the end of a command that used most of the script. */
export function keepCode(): Buffer {
  const code = script.createCachedData();
  return Buffer.concat([digestOf(code), code]);
}

export const usesCodeCache = cachedData !== undefined && script.cachedDataRejected === false;

script.runInThisContext()(createRequire(path), path, folder);
