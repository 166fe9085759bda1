/** `npm run verify:aws -- [--stage NAME] [--region NAME] [--yes]`. Built and started by tools/verify-aws.mjs. */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs, promisify } from 'node:util';
import { verify } from './verify.ts';

const execute = promisify(execFile);

export async function main(root: string, argv: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      stage: { type: 'string', default: `verify-${randomBytes(3).toString('hex')}` },
      region: { type: 'string', default: process.env.AWS_REGION ?? 'us-east-1' },
      yes: { type: 'boolean', default: false },
    },
  });
  const folder = mkdtempSync(join(tmpdir(), 'cuttlefish-verify-'));
  try {
    return await verify(values, {
      run: async (command, args) => (await execute(command, [...args], { cwd: root, maxBuffer: 1 << 26 })).stdout,
      write: async (name, text) => {
        writeFileSync(join(folder, name), text);
        return join(folder, name);
      },
      sleep: async (ms) => void (await delay(ms)),
      say: (line) => console.log(line),
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
