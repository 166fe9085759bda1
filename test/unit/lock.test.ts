/**
 * The lock file installs everywhere.
 *
 * 1. Every platform package that a package may choose from is in the lock: one that is left out (because it was not in the
 *    registry when the lock was made) makes `npm ci` refuse the lock as out of step on any machine.
 * 2. The lock says of the project what package.json says.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';

interface Locked {
  dependencies?: Record<string, string>;
  devDependencies?: Record<string, string>;
  optionalDependencies?: Record<string, string>;
  integrity?: string;
  link?: boolean;
}

const read = (name: string): unknown => JSON.parse(readFileSync(new URL(`../../${name}`, import.meta.url), 'utf8'));
const { packages } = read('package-lock.json') as { packages: Record<string, Locked> };
const manifest = read('package.json') as Locked;

describe('package-lock.json', () => {
  test('has every platform package that a package may choose from', () => {
    const places = Object.keys(packages);
    const missing = Object.entries(packages).flatMap(([at, { optionalDependencies = {} }]) =>
      Object.keys(optionalDependencies)
        .filter((name) => !places.some((place) => place.endsWith(`node_modules/${name}`)))
        .map((name) => `${at} -> ${name}`),
    );
    expect(missing).toEqual([]);
  });

  test('has the digest of every package', () => {
    const unsigned = Object.entries(packages).filter(
      ([at, { integrity, link }]) => at.includes('node_modules/') && !link && !integrity,
    );
    expect(unsigned.map(([at]) => at)).toEqual([]);
  });

  test('agrees with package.json', () => {
    expect(packages['']?.dependencies).toEqual(manifest.dependencies);
    expect(packages['']?.devDependencies).toEqual(manifest.devDependencies);
    expect(packages['']?.optionalDependencies).toEqual(manifest.optionalDependencies);
  });
});
