/**
 * The proof on a real account: deploys to a throw-away stage, trains on Fargate and on Fargate Spot, stops a task, delivers
 * an event twice, looks for residue, removes everything. Works with the programs a person would use: serverless, aws, npm.
 *
 * Invariants
 *  V1  Nothing is deployed without `--yes` and credentials that answer.
 *  V2  Whatever fails, the stage is removed, with its data; what could not be removed is named.
 */
import { configOf, estimate, runMinutes, runs, totalUsd, type VerifyRun } from './plan.ts';

export interface Shell {
  /** Standard output of the command; throws when it fails. */
  run(command: string, args: readonly string[]): Promise<string>;
  write(name: string, text: string): Promise<string>;
  sleep(ms: number): Promise<void>;
  say(line: string): void;
}

export interface VerifyOptions {
  readonly stage: string;
  readonly region: string;
  readonly yes: boolean;
}

interface Stage extends VerifyOptions {
  readonly shell: Shell;
  readonly aws: (...args: string[]) => Promise<unknown>;
  readonly serverless: (command: string, ...args: string[]) => Promise<string>;
}
type Outputs = Readonly<Record<'BucketName' | 'ClusterName' | 'WorkflowArn' | 'ImageRepositoryUri', string>>;

const pollMs = 15_000;

/** The exit code: 0 proved, 1 something failed, 2 refused. */
export async function verify(options: VerifyOptions, shell: Shell): Promise<0 | 1 | 2> {
  const { stage, region } = options;
  const items = estimate();
  for (const { what, usd } of items) shell.say(`  ${usd.toFixed(3).padStart(7)} USD  ${what}`);
  shell.say(`  ${totalUsd(items).toFixed(3).padStart(7)} USD  at most, by list prices; stage "${stage}" in ${region}`);
  const at: Stage = {
    ...options,
    shell,
    aws: async (...args) => {
      const text = await shell.run('aws', [...args, '--region', region, '--output', 'json']);
      return text.trim() === '' ? undefined : JSON.parse(text);
    },
    serverless: (command, ...args) =>
      shell.run('npx', [
        'serverless',
        command,
        '--stage',
        stage,
        '--region',
        region,
        '--param=dataRetention=Delete',
        ...args,
      ]),
  };
  if (!options.yes) return refuse(shell, 'it costs money: say --yes to go on');
  try {
    const { Account } = (await at.aws('sts', 'get-caller-identity')) as { Account: string };
    shell.say(`in account ${Account}`);
  } catch (thrown) {
    return refuse(shell, `no credentials answer: ${messageOf(thrown)}`);
  }
  let failed = false;
  try {
    await prove(at);
  } catch (thrown) {
    shell.say(`FAILED: ${messageOf(thrown)}`);
    failed = true;
  }
  try {
    await remove(at);
  } catch (thrown) {
    shell.say(
      `FAILED to remove stage "${stage}", look for what is left of stack cuttlefish-${stage}: ${messageOf(thrown)}`,
    );
    failed = true;
  }
  return failed ? 1 : 0;
}

function refuse(shell: Shell, why: string): 2 {
  shell.say(why);
  return 2;
}

async function prove(at: Stage): Promise<void> {
  const { shell } = at;
  shell.say('deploying');
  await at.serverless('deploy');
  const outputs = await outputsOf(at);
  shell.say('building and pushing the image');
  const pushed = await shell.run('npm', ['run', 'image', '--', '--push', outputs.ImageRepositoryUri]);
  const image = /image=(\S+@sha256:[0-9a-f]{64})/.exec(pushed)?.[1];
  if (image === undefined) throw new Error('the image was pushed without a digest');
  await at.serverless('deploy', `--param=image=${image}`);
  for (const run of runs) await train(at, outputs, run);
  await deliverTwice(at, outputs);
  await expectNothingLeft(at, outputs);
}

async function outputsOf(at: Stage): Promise<Outputs> {
  const answer = await at.aws('cloudformation', 'describe-stacks', '--stack-name', `cuttlefish-${at.stage}`);
  const [stack] = (answer as { Stacks: { Outputs: { OutputKey: string; OutputValue: string }[] }[] }).Stacks;
  return Object.fromEntries((stack?.Outputs ?? []).map((each) => [each.OutputKey, each.OutputValue])) as Outputs;
}

const keyOf = (run: VerifyRun) => `configs/${run.name}.yaml`;

async function train(at: Stage, outputs: Outputs, run: VerifyRun): Promise<void> {
  const { shell } = at;
  shell.say(`training ${run.name}`);
  const path = await shell.write(`${run.name}.yaml`, configOf(run));
  await shell.run('aws', ['s3', 'cp', path, `s3://${outputs.BucketName}/${keyOf(run)}`, '--region', at.region]);
  let struck = !run.struck;
  for (let waited = 0; waited < runMinutes * 60_000; waited += pollMs) {
    await shell.sleep(pollMs);
    if (!struck) struck = await strike(at, outputs);
    const result = await resultOf(at, outputs, run);
    if (result === undefined) continue;
    if (result.status !== 'succeeded') throw new Error(`${run.name} ended as ${result.status}`);
    if (!struck) throw new Error(`${run.name} was over before a task of it could be stopped`);
    if (run.struck && result.recoveries < 1) throw new Error(`${run.name} did not notice that its task was stopped`);
    shell.say(`  ${JSON.stringify(result)}`);
    return;
  }
  throw new Error(`${run.name} has no result after ${runMinutes} minutes`);
}

/** Stops one task once both run; false while there is none to stop. */
async function strike(at: Stage, { ClusterName }: Outputs): Promise<boolean> {
  const listed = (await at.aws('ecs', 'list-tasks', '--cluster', ClusterName)) as { taskArns: string[] };
  if (listed.taskArns.length < 2) return false;
  const described = await at.aws('ecs', 'describe-tasks', '--cluster', ClusterName, '--tasks', ...listed.taskArns);
  const { tasks } = described as { tasks: { taskArn: string; lastStatus: string }[] };
  if (tasks.some(({ lastStatus }) => lastStatus !== 'RUNNING')) return false;
  const [victim] = tasks;
  await at.shell.sleep(pollMs);
  await at.aws('ecs', 'stop-task', '--cluster', ClusterName, '--task', victim?.taskArn ?? '', '--reason', 'verify');
  at.shell.say('  stopped a task');
  return true;
}

interface Result {
  readonly status: string;
  readonly recoveries: number;
}

async function resultOf(at: Stage, { BucketName }: Outputs, { name }: VerifyRun): Promise<Result | undefined> {
  const answer = await at.aws('s3api', 'list-objects-v2', '--bucket', BucketName, '--prefix', `runs/${name}-`);
  const keys = ((answer as { Contents?: { Key: string }[] } | undefined)?.Contents ?? []).map(({ Key }) => Key);
  const key = keys.find((each) => each.endsWith('/result.json'));
  if (key === undefined) return undefined;
  return JSON.parse(
    await at.shell.run('aws', ['s3', 'cp', `s3://${BucketName}/${key}`, '-', '--region', at.region]),
  ) as Result;
}

/** The first event again, hours late so to say: it must start nothing. */
async function deliverTwice(at: Stage, { BucketName }: Outputs): Promise<void> {
  at.shell.say('delivering an event again');
  const key = keyOf(runs[0] as VerifyRun);
  const head = (await at.aws('s3api', 'head-object', '--bucket', BucketName, '--key', key)) as { VersionId: string };
  const object = { key, size: 1, etag: 'e', 'version-id': head.VersionId };
  const event = { source: 'aws.s3', 'detail-type': 'Object Created', detail: { bucket: { name: BucketName }, object } };
  const payload = await at.shell.write('event.json', JSON.stringify(event));
  const answer = await at.shell.write('answer.json', '');
  const call = ['--cli-binary-format', 'raw-in-base64-out', '--payload', `file://${payload}`, answer];
  await at.aws('lambda', 'invoke', '--function-name', `cuttlefish-${at.stage}-start`, ...call);
  const { kind } = JSON.parse(await at.shell.run('cat', [answer])) as { kind?: string };
  if (kind !== 'exists') throw new Error(`the second delivery of an event was answered "${kind}", not "exists"`);
}

async function expectNothingLeft(at: Stage, { ClusterName, WorkflowArn }: Outputs): Promise<void> {
  at.shell.say('looking for residue');
  const { taskArns } = (await at.aws('ecs', 'list-tasks', '--cluster', ClusterName)) as { taskArns: string[] };
  const running = ['--state-machine-arn', WorkflowArn, '--status-filter', 'RUNNING'];
  const { executions } = (await at.aws('stepfunctions', 'list-executions', ...running)) as { executions: unknown[] };
  const left = `${taskArns.length} tasks and ${executions.length} executions`;
  if (taskArns.length + executions.length > 0) throw new Error(`${left} are left`);
  at.shell.say(`  ${left} left`);
}

async function remove(at: Stage): Promise<void> {
  at.shell.say('removing the stage');
  // A stack that never came up has nothing to empty; its removal says what is wrong otherwise.
  const bucket = await outputsOf(at).then(
    ({ BucketName }) => BucketName,
    () => undefined,
  );
  if (bucket !== undefined) await empty(at, bucket);
  await at.serverless('remove');
  at.shell.say('removed');
}

/** CloudFormation deletes no bucket with objects in it, and versions are objects. */
async function empty(at: Stage, bucket: string): Promise<void> {
  for (;;) {
    const page = await at.aws('s3api', 'list-object-versions', '--bucket', bucket, '--max-items', '500');
    const { Versions = [], DeleteMarkers = [] } = (page ?? {}) as Record<string, { Key: string; VersionId: string }[]>;
    const objects = [...Versions, ...DeleteMarkers].map(({ Key, VersionId }) => ({ Key, VersionId }));
    if (objects.length === 0) return;
    const path = await at.shell.write('delete.json', JSON.stringify({ Objects: objects, Quiet: true }));
    await at.aws('s3api', 'delete-objects', '--bucket', bucket, '--delete', `file://${path}`);
  }
}

const messageOf = (thrown: unknown): string => (thrown instanceof Error ? thrown.message : String(thrown));
