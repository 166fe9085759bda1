/** The proof on a real account, without one: what it would run, in which order, and that it cleans up after any failure. */
import { describe, expect, it } from 'vitest';
import { parseConfig } from '../../core/config/parse.ts';
import { configOf, estimate, runs, totalUsd } from './plan.ts';
import { type Shell, verify } from './verify.ts';

const options = { stage: 'verify-x', region: 'eu-west-1', yes: true };
const digest = `sha256:${'a'.repeat(64)}`;
const outputs = { BucketName: 'bucket', ClusterName: 'cluster', WorkflowArn: 'arn', ImageRepositoryUri: 'repository' };

/** An account in which all goes well; `change` answers for commands that it recognises. */
function account(change: (command: string) => string | Error | undefined = () => undefined) {
  const commands: string[] = [];
  const lines: string[] = [];
  let emptied = false;
  const answer = (command: string): string => {
    if (command.includes('get-caller-identity')) return '{"Account":"111122223333"}';
    if (command.includes('describe-stacks')) {
      const list = Object.entries(outputs).map(([OutputKey, OutputValue]) => ({ OutputKey, OutputValue }));
      return JSON.stringify({ Stacks: [{ Outputs: list }] });
    }
    if (command.includes('run image')) return `deploy it with:\n  npx serverless deploy --param="image=r@${digest}"`;
    if (command.includes('list-objects-v2')) return '{"Contents":[{"Key":"runs/x-1/result.json"}]}';
    if (command.includes('result.json -')) return '{"status":"succeeded","recoveries":1}';
    if (command.includes('describe-tasks')) {
      return '{"tasks":[{"taskArn":"task/1","lastStatus":"RUNNING"},{"taskArn":"task/2","lastStatus":"RUNNING"}]}';
    }
    // Two tasks until one was stopped.
    if (command.includes('list-tasks'))
      return JSON.stringify({
        taskArns: commands.some((each) => each.includes('stop-task')) ? [] : ['task/1', 'task/2'],
      });
    if (command.includes('head-object')) return '{"VersionId":"v1"}';
    if (command.startsWith('cat ')) return '{"kind":"exists"}';
    if (command.includes('list-executions')) return '{"executions":[]}';
    if (command.includes('list-object-versions')) {
      const page = emptied
        ? {}
        : { Versions: [{ Key: 'k', VersionId: 'v' }], DeleteMarkers: [{ Key: 'd', VersionId: 'w' }] };
      emptied = true;
      return JSON.stringify(page);
    }
    return '';
  };
  const shell: Shell = {
    run: async (program, args) => {
      const command = [program, ...args].join(' ');
      commands.push(command);
      const changed = change(command);
      if (changed instanceof Error) throw changed;
      return changed ?? answer(command);
    },
    write: async (name) => `/tmp/${name}`,
    sleep: async () => undefined,
    say: (line) => void lines.push(line),
  };
  const about = (pattern: RegExp) => commands.filter((command) => pattern.test(command));
  return { shell, commands, lines, about };
}

describe('what it plans', () => {
  it.each(runs)('$name is a config that the stack takes', (run) => {
    expect(parseConfig(configOf(run), run.name)).toMatchObject({
      kind: 'valid',
      config: { cluster: { launch: run.launch } },
    });
  });

  it('costs well under a dollar', () => {
    expect(totalUsd(estimate())).toBeGreaterThan(0.05);
    expect(totalUsd(estimate())).toBeLessThan(0.5);
  });
});

describe('it refuses', () => {
  it('without --yes, having said what it costs and asked nothing', async () => {
    const { shell, commands, lines } = account();
    expect(await verify({ ...options, yes: false }, shell)).toBe(2);
    expect(commands).toEqual([]);
    expect(lines.join('\n')).toMatch(/USD {2}at most.*\n.*--yes/);
  });

  it('without credentials, having deployed nothing', async () => {
    const { shell, about, lines } = account((command) =>
      command.includes('get-caller-identity') ? new Error('Unable to locate credentials') : undefined,
    );
    expect(await verify(options, shell)).toBe(2);
    expect(about(/serverless/)).toEqual([]);
    expect(lines.at(-1)).toContain('Unable to locate credentials');
  });
});

describe('with an account', () => {
  it('deploys, trains twice, strikes once, delivers twice, and removes the stage with its data', async () => {
    const { shell, about } = account();
    expect(await verify(options, shell)).toBe(0);
    expect(about(/serverless deploy/).map((each) => /image=\S+/.exec(each)?.[0])).toEqual([
      undefined,
      `image=r@${digest}`,
    ]);
    expect(
      about(/serverless/).every((each) =>
        each.includes('--stage verify-x --region eu-west-1 --param=dataRetention=Delete'),
      ),
    ).toBe(true);
    expect(about(/s3 cp .*configs/)).toHaveLength(2);
    expect(about(/stop-task/)).toHaveLength(1);
    expect(about(/lambda invoke --function-name cuttlefish-verify-x-start/)).toHaveLength(1);
    expect(about(/delete-objects/)).toHaveLength(1);
    expect(about(/./).at(-1)).toMatch(/serverless remove/);
  });

  it.each([
    ['a deployment that fails', /serverless deploy/, new Error('rolled back')],
    ['a run that fails', /result\.json -/, '{"status":"failed","recoveries":0}'],
    ['a task that is lost unseen', /result\.json -/, '{"status":"succeeded","recoveries":0}'],
    ['a second execution', /^cat /, '{"kind":"started"}'],
    ['a task that is left', /list-executions/, '{"executions":[{}]}'],
  ])('removes the stage after %s, and says so', async (_, pattern, answer) => {
    const { shell, about, lines } = account((command) => (pattern.test(command) ? answer : undefined));
    expect(await verify(options, shell)).toBe(1);
    expect(lines.join('\n')).toContain('FAILED');
    expect(about(/./).at(-1)).toMatch(/serverless remove/);
  });

  it('names the stack that it could not remove', async () => {
    const { shell, lines } = account((command) =>
      command.includes('serverless remove') ? new Error('in use') : undefined,
    );
    expect(await verify(options, shell)).toBe(1);
    expect(lines.at(-1)).toMatch(/cuttlefish-verify-x: in use/);
  });
});
