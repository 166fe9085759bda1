// What the image of the training tasks holds beside its base, how large it is, and the names that follow from it.
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

/** Files in the order of their paths, without source maps (see .dockerignore). */
export function contentsOf(root, folders) {
  return folders
    .flatMap((folder) =>
      readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile() && !entry.name.endsWith('.map'))
        .map((entry) => join(entry.parentPath, entry.name)),
    )
    .sort()
    .map((path) => {
      const bytes = readFileSync(path);
      return { path: path.slice(root.length + 1), bytes, sizeBytes: bytes.length };
    });
}

export function describeContents(contents) {
  const sum = contents.reduce((total, { sizeBytes }) => total + sizeBytes, 0);
  const packed = contents.reduce((total, { bytes }) => total + gzipSync(bytes).length, 0);
  return [
    ...contents.map(({ path, sizeBytes }) => `${kilobytes(sizeBytes).padStart(10)}  ${path}`),
    `${kilobytes(sum).padStart(10)}  in ${contents.length} files, about ${kilobytes(packed)} to pull, beside node:22-bookworm-slim`,
  ];
}

export function tagOf(contents, platform, tensorflow) {
  const hash = createHash('sha256').update(platform);
  for (const { path, bytes } of contents) hash.update(`\0${path}\0${bytes.length}\0`).update(bytes);
  return `sha-${hash.digest('hex').slice(0, 12)}${tensorflow ? '-tensorflow' : ''}`;
}

/** Registry, region and name of a repository in ECR; undefined for anything else. */
export function readRepository(uri) {
  const match = /^([0-9]{12}\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com)\/([a-z0-9._/-]+)$/.exec(uri);
  return match === null ? undefined : { registry: match[1], region: match[2], name: match[3] };
}

const kilobytes = (bytes) => `${(bytes / 1000).toFixed(0)} kB`;
