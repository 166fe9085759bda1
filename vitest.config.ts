import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/build.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // Two forks: the e2e suites start processes of their own, and the machines we promise to run on have two cores.
    pool: 'forks',
    maxWorkers: 2,
  },
});
