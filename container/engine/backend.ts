/**
 * Chooses and starts the TensorFlow.js backend: tfjs-node where it is installed (the container image), else
 * WebAssembly, else plain JavaScript. Owns everything global about TensorFlow.js: its banners, its log level, the
 * WebAssembly files and the process listeners its loader leaves behind.
 *
 * Invariants
 *  B1  Nothing is printed: tfjs writes banners and warnings to the console, and standard output belongs to the caller.
 *  B2  A run that falls back says so through `warn`, with what it costs.
 *  B3  The process has the same signal and error listeners after the start as before it.
 */
import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import {
  backend as currentBackend,
  enableProdMode,
  env,
  getBackend,
  setBackend,
  type Tensor,
} from '@tensorflow/tfjs-core';
import { repairWasmKernels } from './wasm-kernels.ts';

export type Backend = 'native' | 'wasm' | 'cpu';

/** What TensorFlow.js calls them. */
const registered: { readonly [B in Backend]: string } = { native: 'tensorflow', wasm: 'wasm', cpu: 'cpu' };

/** Starts the wanted backend, or the best there is. */
export async function startBackend(wanted: Backend | undefined, warn: (message: string) => void): Promise<Backend> {
  // Production mode also leaves out the checks of every operation, which the tests run with other backends make good.
  enableProdMode();
  env().set('IS_TEST', false);
  if (wanted !== undefined) {
    await starters[wanted]();
    return wanted;
  }
  try {
    await starters.native();
    return 'native';
  } catch {
    // Not installed, or its native library does not load here: the usual case outside the container image.
  }
  try {
    await starters.wasm();
    return 'wasm';
  } catch (error) {
    warn(
      `the WebAssembly backend of TensorFlow.js could not be started (${error instanceof Error ? error.message : error}); ` +
        'training goes on in plain JavaScript, which is 20 to 150 times slower',
    );
    await starters.cpu();
    return 'cpu';
  }
}

/** Makes a started backend the current one again; there may be engines of several in one process. */
export function useBackend(backend: Backend): void {
  // A promise by its type only: for a backend that has started, everything happens before it returns.
  if (getBackend() !== registered[backend]) void setBackend(registered[backend]);
}

/**
 * The values of a tensor, to be read at once: on WebAssembly it is the backend's own memory, which the next operation may
 * move. Copying it out first would be a third of the time of a small step.
 */
export function values(of: Tensor): Float32Array {
  const current = currentBackend() as Partial<Pick<BackendWasm, 'typedArrayFromHeap'>>;
  return (current.typedArrayFromHeap ? current.typedArrayFromHeap(of) : of.dataSync()) as Float32Array;
}

const starters: { readonly [B in Backend]: () => Promise<void> } = {
  async native() {
    // A variable, so that neither the type checker nor the bundler looks for a package that is optional.
    const optional = '@tensorflow/tfjs-node';
    await import(optional);
    await start('native');
  },
  async wasm() {
    const listeners = rememberListeners();
    try {
      const { setWasmPaths, setThreadsCount } = await import('@tensorflow/tfjs-backend-wasm');
      setWasmPaths(wasmFolder());
      setThreadsCount(1);
      await start('wasm');
      repairWasmKernels();
    } finally {
      listeners.restore();
    }
  },
  async cpu() {
    await import('@tensorflow/tfjs-backend-cpu');
    await start('cpu');
  },
};

async function start(backend: Backend): Promise<void> {
  if (!(await setBackend(registered[backend]))) throw new Error(`TensorFlow.js did not start its ${backend} backend`);
}

/** Beside the bundle (whose chunks are in a folder of their own), else in node_modules. */
function wasmFolder(): string {
  const require = createRequire(import.meta.url);
  const file = 'tfjs-backend-wasm-simd.wasm';
  for (const place of [`./wasm/${file}`, `../wasm/${file}`, `@tensorflow/tfjs-backend-wasm/dist/${file}`]) {
    try {
      return `${dirname(require.resolve(place))}/`;
    } catch {
      // Not there: try the next.
    }
  }
  throw new Error(`${file} was found neither beside ${fileURLToPath(import.meta.url)} nor in node_modules`);
}

/**
 * The Emscripten loader adds process listeners that throw again what they get: a crash would then end with exit code 7
 * and not with ours.
 */
function rememberListeners(): { restore(): void } {
  const events = ['uncaughtException', 'unhandledRejection'] as const;
  const before = events.map((event) => process.listeners(event as 'uncaughtException'));
  return {
    restore: () => {
      for (const [index, event] of events.entries()) {
        for (const listener of process.listeners(event as 'uncaughtException')) {
          if (!before[index]!.includes(listener)) process.removeListener(event, listener);
        }
      }
    },
  };
}
