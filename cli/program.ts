/**
 * The commands, their options and their help. Says what can be asked, and checks the form of it; what happens is in
 * cli/commands/, loaded only when its command runs, so that `--help` needs none of it.
 *
 * Invariants
 *  M1  Every command has --json, --state and examples in its help.
 *  M2  Wrong usage is exit code 2, with one line that says what would be right.
 */
import { Command, InvalidArgumentError, Option } from 'commander';
import { defaultStateDir } from './paths.ts';

export interface CommonOptions {
  readonly state: string;
  readonly json?: boolean;
}

/** What the command line may change of a config; core/config applies it to the text. */
export interface OverrideOptions {
  readonly data?: string;
  readonly workers?: string;
  readonly epochs?: number;
  readonly parameterServers?: number;
  readonly chaos: readonly string[];
}

export interface TrainOptions extends CommonOptions, OverrideOptions {
  readonly runId?: string;
  readonly fresh?: boolean;
}

export type PlanOptions = CommonOptions & OverrideOptions & { readonly local?: boolean };

export interface LogsOptions extends CommonOptions {
  readonly follow?: boolean;
  readonly task?: string;
}

export interface ServeOptions extends CommonOptions {
  readonly once?: boolean;
}

/** One function a command; each resolves when the command is done. */
export interface Handlers {
  train(config: string, options: TrainOptions): Promise<void>;
  validate(configs: readonly string[], options: CommonOptions): Promise<void>;
  plan(config: string, options: PlanOptions): Promise<void>;
  serve(options: ServeOptions): Promise<void>;
  status(run: string | undefined, options: CommonOptions): Promise<void>;
  logs(run: string, options: LogsOptions): Promise<void>;
  scale(run: string, workers: string, options: CommonOptions): Promise<void>;
  cancel(run: string, options: CommonOptions): Promise<void>;
  resume(run: string, options: CommonOptions): Promise<void>;
  doctor(options: CommonOptions): Promise<void>;
}

export function createProgram(handlers: Handlers, version: string): Command {
  const program = new Command('cuttlefish')
    .description('Trains neural networks: one YAML file in, one model out.')
    .version(version)
    .exitOverride()
    .showSuggestionAfterError()
    .addHelpText(
      'after',
      examples(['cuttlefish train configs/digits.yaml', 'cuttlefish status', 'cuttlefish <command> --help']),
    );

  overrides(command(program, 'train'))
    .description('train the network of a config, and wait for it')
    .argument('<config>', 'the YAML file')
    .option('--run-id <id>', 'name of the run instead of one made from the config')
    .option('--fresh', 'train anew although this config has been trained already')
    .addHelpText(
      'after',
      examples([
        'cuttlefish train configs/digits.yaml',
        'cuttlefish train configs/mnist.yaml --data ./mnist --workers 4 --json',
        'cuttlefish train configs/digits.yaml --chaos "kill worker 1 at step 100"',
      ]),
    )
    .action((config, options) => handlers.train(config, options));

  command(program, 'validate')
    .description('check configs: every problem at once, with line and column')
    .argument('<config...>', 'the YAML files')
    .addHelpText('after', examples(['cuttlefish validate configs/digits.yaml', 'cuttlefish validate configs/*.yaml']))
    .action((configs, options) => handlers.validate(configs, options));

  overrides(command(program, 'plan'))
    .description('resolve every number of a config: tasks, memory, steps, price; nothing is started')
    .argument('<config>', 'the YAML file')
    .option('--local', 'plan for this machine instead of what cluster.launch says')
    .addHelpText(
      'after',
      examples(['cuttlefish plan configs/digits.yaml', 'cuttlefish plan configs/digits.yaml --workers 4']),
    )
    .action((config, options) => handlers.plan(config, options));

  command(program, 'serve')
    .description('watch a folder as the bucket: a config dropped into it becomes a run')
    .addOption(new Option('--once', 'end when all runs have ended').hideHelp())
    .addHelpText(
      'after',
      examples(['cuttlefish serve', 'cp configs/digits.yaml .cuttlefish/bucket/configs/   (in another terminal)']),
    )
    .action((options) => handlers.serve(options));

  command(program, 'status')
    .description('list the runs, or show one in detail')
    .argument('[run]', 'run id, the beginning of one, or the name in the config')
    .addHelpText('after', examples(['cuttlefish status', 'cuttlefish status digits']))
    .action((run, options) => handlers.status(run, options));

  command(program, 'logs')
    .description('show what the tasks of a run have logged, in the order of time')
    .argument('<run>', 'run id, the beginning of one, or the name in the config')
    .option('-f, --follow', 'go on until the run has ended')
    .option('--task <name>', 'only this task, e.g. worker/1, or control for the functions')
    .addHelpText('after', examples(['cuttlefish logs digits', 'cuttlefish logs digits --follow --task worker/1']))
    .action((run, options) => handlers.logs(run, options));

  command(program, 'scale')
    .description('change the number of workers of a run while it trains; the result stays the same')
    .argument('<run>', 'run id, the beginning of one, or the name in the config')
    .argument('<workers>', 'number of workers, within what the run was planned for')
    .addHelpText('after', examples(['cuttlefish scale digits 4', 'cuttlefish scale digits 2 --json']))
    .action((run, wanted, options) => handlers.scale(run, wanted, options));

  command(program, 'cancel')
    .description('end a run: its tasks stop, its newest checkpoint is kept')
    .argument('<run>', 'run id, the beginning of one, or the name in the config')
    .addHelpText('after', examples(['cuttlefish cancel digits']))
    .action((run, options) => handlers.cancel(run, options));

  command(program, 'resume')
    .description('continue a run that was interrupted, cancelled or has failed, from its newest checkpoint')
    .argument('<run>', 'run id, the beginning of one, or the name in the config')
    .addHelpText('after', examples(['cuttlefish resume digits']))
    .action((run, options) => handlers.resume(run, options));

  command(program, 'doctor')
    .description('check this machine, and say what to do about what is missing')
    .addHelpText('after', examples(['cuttlefish doctor', 'cuttlefish doctor --json']))
    .action((options) => handlers.doctor(options));

  return program;
}

function command(program: Command, name: string): Command {
  return program
    .command(name)
    .option('--state <folder>', 'state folder', defaultStateDir())
    .option('--json', 'print one JSON document on standard output, and nothing else there');
}

function overrides(target: Command): Command {
  return target
    .option('--data <folder>', 'folder of the data, instead of data.path')
    .option('--workers <n>', 'number of workers, or MIN:MAX', workers)
    .option('--epochs <n>', 'number of epochs', wholeNumber(1))
    .option('--parameter-servers <n>', 'number of parameter servers', wholeNumber(0))
    .addOption(
      new Option('--chaos <sentence>', 'do something bad on purpose, e.g. "kill worker 1 at step 50"; may be repeated')
        .default([], 'none')
        .argParser((sentence: string, before: readonly string[]) => [...before, sentence]),
    );
}

function wholeNumber(least: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || !Number.isSafeInteger(value) || value < least) {
      throw new InvalidArgumentError(`Accepted: a whole number, at least ${least}.`);
    }
    return value;
  };
}

function workers(text: string): string {
  const match = /^(\d{1,4})(?::(\d{1,4}))?$/.exec(text);
  const least = Number(match?.[1] ?? 0);
  if (!match || least < 1 || Number(match[2] ?? least) < least) {
    throw new InvalidArgumentError(
      'Accepted: a number such as 4, or MIN:MAX such as 2:8; at least 1, MIN not above MAX.',
    );
  }
  return text;
}

function examples(lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => `  $ ${line}`).join('\n')}\n`;
}
