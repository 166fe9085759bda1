/** The image of the training tasks: its Dockerfile read for what matters, and built where a container engine answers. */
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { root } from '../support/package-stack.ts';

const text = readFileSync(join(root, 'container/Dockerfile'), 'utf8');
const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
const arguments_ = (instruction: string) =>
  lines.filter((line) => line.startsWith(`${instruction} `)).map((line) => line.slice(instruction.length + 1));

describe('the Dockerfile', () => {
  it('starts from the small image of the Node version that tasks run on, and needs no frontend image', () => {
    expect(arguments_('FROM')[0]).toBe('node:22-bookworm-slim AS task');
    expect(text).not.toMatch(/^#\s*syntax=/m);
  });

  it('only copies what was built: no package manager, no download', () => {
    expect(arguments_('RUN')).toEqual([]);
    expect(arguments_('ADD')).toEqual([]);
    expect(arguments_('COPY')).toEqual([
      '--chown=root:root dist/task/ ./dist/task/',
      '--chown=root:root dist/native/node_modules/ ./node_modules/',
    ]);
  });

  it('runs as the user of the task definition, who owns nothing in it', () => {
    expect(arguments_('USER')).toEqual(['1000:1000']);
    expect(readFileSync(join(root, 'infra/tasks.yml'), 'utf8')).toContain("User: '1000:1000'");
  });

  it('starts the task in exec form, so that SIGTERM reaches it', () => {
    expect(arguments_('ENTRYPOINT').map((form) => JSON.parse(form))).toEqual([['node', 'dist/task/main.js']]);
    expect(arguments_('CMD')).toEqual([]);
  });

  it('sends nothing else to the engine as context', () => {
    const ignore = readFileSync(join(root, '.dockerignore'), 'utf8')
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'));
    expect(ignore[0]).toBe('*');
    expect(ignore.filter((line) => line.startsWith('!'))).toEqual(['!dist/task', '!dist/native']);
  });
});

describe('what the image copies', () => {
  it('starts by itself, with nothing of this checkout beside it', () => {
    const folder = mkdtempSync(join(tmpdir(), 'cuttlefish-image-'));
    try {
      cpSync(join(root, 'dist/task'), join(folder, 'dist/task'), { recursive: true });
      const env = { PATH: process.env.PATH, CUTTLEFISH_WORLD: 'aws' };
      const bare = spawnSync(process.execPath, ['dist/task/main.js'], { cwd: folder, encoding: 'utf8', env });
      expect([bare.status, bare.stderr]).toEqual([64, expect.stringContaining('CUTTLEFISH_RUN_ID')]);
      // With a run, the chunks of the AWS world are loaded; outside ECS they say what is missing.
      const lost = spawnSync(process.execPath, ['dist/task/main.js'], {
        cwd: folder,
        encoding: 'utf8',
        env: { ...env, CUTTLEFISH_RUN_ID: 'run', CUTTLEFISH_ROLE: 'worker' },
      });
      expect([lost.status, lost.stderr]).toEqual([70, expect.stringContaining('ECS_CONTAINER_METADATA_URI_V4')]);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

/** Written in JavaScript, as everything that npm scripts run. */
interface ImageContents {
  contentsOf(root: string, folders: readonly string[]): { path: string; sizeBytes: number }[];
  describeContents(contents: unknown): string[];
  tagOf(contents: unknown, platform: string, tensorflow: boolean): string;
  readRepository(uri: string): { registry: string; region: string; name: string } | undefined;
}

describe('npm run image', async () => {
  const tool = (await import(join(root, 'tools/image-contents.mjs'))) as ImageContents;
  const contents = tool.contentsOf(root, ['dist/task']);

  it('lists what the image holds: code and WebAssembly, a few megabytes', () => {
    const paths = contents.map(({ path }) => path);
    expect(paths).toContain('dist/task/main.js');
    for (const path of paths)
      expect(path).toMatch(/^dist\/task\/((main|thread)\.js|chunks\/[\w-]+\.js|wasm\/[\w-]+\.wasm)$/);
    expect(contents.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)).toBeLessThan(5_000_000);
    expect(tool.describeContents(contents).at(-1)).toMatch(/kB {2}in \d+ files, about \d+ kB to pull/);
  });

  it('gives equal contents one tag, and others another', () => {
    const tag = tool.tagOf(contents, 'linux/amd64', false);
    expect(tag).toMatch(/^sha-[0-9a-f]{12}$/);
    expect(tool.tagOf(contents, 'linux/amd64', false)).toBe(tag);
    expect(tool.tagOf(contents.slice(1), 'linux/amd64', false)).not.toBe(tag);
    expect(tool.tagOf(contents, 'linux/arm64', false)).not.toBe(tag);
  });

  it('pushes to repositories in ECR only, which the template accepts', () => {
    expect(tool.readRepository('111122223333.dkr.ecr.eu-west-1.amazonaws.com/team/training')).toEqual({
      registry: '111122223333.dkr.ecr.eu-west-1.amazonaws.com',
      region: 'eu-west-1',
      name: 'team/training',
    });
    for (const uri of ['training', 'docker.io/training', 'https://111122223333.dkr.ecr.x.amazonaws.com/a']) {
      expect(tool.readRepository(uri)).toBeUndefined();
    }
  });
});

describe('the image', () => {
  const engine = ['docker', 'podman'].find((name) => spawnSync(name, ['info'], { timeout: 5_000 }).status === 0);

  it('builds and starts its task', { timeout: 300_000 }, ({ skip }) => {
    if (engine === undefined) return skip('no container engine answers here (docker, podman)');
    const base = spawnSync(engine, ['image', 'inspect', 'node:22-bookworm-slim'], { timeout: 10_000 });
    if (base.status !== 0) return skip('the base image node:22-bookworm-slim is not on this machine');
    const tag = `cuttlefish-task:test-${process.pid}`;
    try {
      execFileSync(engine, ['build', '--file', 'container/Dockerfile', '--target', 'task', '--tag', tag, '.'], {
        cwd: root,
      });
      // Without a run it says what it needs and ends with the code for a permanent failure.
      const run = spawnSync(engine, ['run', '--rm', '--read-only', '--cap-drop', 'ALL', tag], { encoding: 'utf8' });
      expect(run.stderr).toContain('CUTTLEFISH_RUN_ID');
      expect(run.status).toBe(64);
    } finally {
      spawnSync(engine, ['rmi', '--force', tag]);
    }
  });
});
