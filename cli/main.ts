/**
 * The `cuttlefish` command: the composition root of the laptop. Reads the command line, runs one command, and turns how it
 * ended into an exit code: 0 done, 1 the run failed, 2 bad input or usage, 3 cancelled.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CommanderError } from 'commander';
import {
  createOutput,
  type ExitCode,
  exitCodes,
  flush,
  ignoreClosedPipes,
  type Output,
  reportError,
} from './output.ts';
import { packageRoot } from './paths.ts';
import { type CommonOptions, createProgram, type Handlers } from './program.ts';

async function main(args: readonly string[]): Promise<ExitCode> {
  let output: Output = createOutput(args.includes('--json'));
  let exitCode: ExitCode = exitCodes.done;

  /** Each command gets where to write and answers an exit code. */
  const run = async (options: CommonOptions, command: (output: Output) => Promise<ExitCode>): Promise<void> => {
    output = createOutput(options.json === true);
    exitCode = await command(output);
  };

  const handlers: Handlers = {
    train: (config, options) =>
      run(options, async (out) => (await import('./commands/train.ts')).train(config, options, out)),
    validate: (configs, options) =>
      run(options, async (out) => (await import('./commands/validate.ts')).validate(configs, out)),
    plan: (config, options) =>
      run(options, async (out) => (await import('./commands/plan.ts')).plan(config, options, out)),
    serve: (options) => run(options, async (out) => (await import('./commands/serve.ts')).serve(options, out)),
    status: (name, options) =>
      run(options, async (out) => (await import('./commands/status.ts')).status(name, options, out)),
    logs: (name, options) => run(options, async (out) => (await import('./commands/logs.ts')).logs(name, options, out)),
    scale: (name, workers, options) =>
      run(options, async (out) => (await import('./commands/scale.ts')).scale(name, workers, options, out)),
    cancel: (name, options) =>
      run(options, async (out) => (await import('./commands/cancel.ts')).cancel(name, options, out)),
    resume: (name, options) =>
      run(options, async (out) => (await import('./commands/resume.ts')).resume(name, options, out)),
    doctor: (options) => run(options, async (out) => (await import('./commands/doctor.ts')).doctor(options, out)),
  };

  try {
    const { version } = JSON.parse(readFileSync(join(packageRoot(), 'package.json'), 'utf8')) as { version: string };
    const program = createProgram(handlers, version);
    if (args.length === 0) {
      process.stderr.write(program.helpInformation());
      return exitCodes.usage;
    }
    await program.parseAsync(args, { from: 'user' });
    return exitCode;
  } catch (error) {
    if (!(error instanceof CommanderError)) return reportError(output, error);
    if (error.exitCode === 0) return exitCodes.done;
    // Commander has told the person already; the script is told here.
    output.document({ status: 'error', error: { kind: 'Usage', message: error.message } });
    return exitCodes.usage;
  }
}

ignoreClosedPipes();
// Not at the top level: the build makes a script of this file, which V8 can keep compiled (start.ts).
void main(process.argv.slice(2)).then(async (code) => {
  await flush();
  process.exit(code);
});
