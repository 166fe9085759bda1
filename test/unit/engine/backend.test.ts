import { afterEach, expect, test, vi } from 'vitest';
import { startBackend } from '../../../container/engine/backend.ts';
import { batchFor, build, contribution, mlp } from './support.ts';

afterEach(() => vi.restoreAllMocks());

test('starting and using the backends prints nothing and leaves no listener behind (B1, B3)', async () => {
  const events = ['uncaughtException', 'unhandledRejection', 'exit', 'SIGTERM', 'SIGINT'];
  const count = () => events.map((event) => process.listenerCount(event));
  const before = count();
  const printed = (['log', 'warn', 'info', 'error'] as const).map((name) => vi.spyOn(console, name));
  const stdout = vi.spyOn(process.stdout, 'write');
  for (const backend of ['wasm', 'cpu'] as const) {
    const engine = await build(mlp, backend);
    expect(engine.name).toBe(`tensorflow/${backend}`);
    contribution(engine, batchFor(mlp, 4));
  }
  expect(printed.map((spy) => spy.mock.calls)).toEqual([[], [], [], []]);
  expect(stdout.mock.calls).toEqual([]);
  expect(count()).toEqual(before);
});

test('startBackend() takes WebAssembly where tfjs-node is not installed, without a warning (B2)', async () => {
  const warn = vi.fn();
  // In the container image tfjs-node is there and is the better choice.
  expect(['wasm', 'native']).toContain(await startBackend(undefined, warn));
  expect(warn).not.toHaveBeenCalled();
});
