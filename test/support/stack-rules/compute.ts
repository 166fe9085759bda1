/** What runs: one role each, nothing privileged, no secrets in plain sight. */
import { asList, at, ofType, type Template } from '../package-stack.ts';

const secretName = /SECRET|PASSWORD|TOKEN|CREDENTIAL|PRIVATE|API_?KEY/i;

export function compute(template: Template): string[] {
  return [...functions(template), ...tasks(template), ...rules(template)];
}

function functions(template: Template): string[] {
  const found: string[] = [];
  const roles = new Set<unknown>();
  for (const [id, { Properties }] of ofType(template, 'AWS::Lambda::Function')) {
    const role = at(Properties.Role, 'Fn::Sub') ?? Properties.Role;
    if (roles.has(role)) found.push(`${id}: shares its role`);
    roles.add(role);
    if (at(Properties.TracingConfig, 'Mode') !== 'Active') found.push(`${id}: not traced`);
    for (const setting of ['MemorySize', 'Timeout']) {
      if (typeof Properties[setting] !== 'number') found.push(`${id}: no ${setting}`);
    }
    for (const name of Object.keys((at(Properties, 'Environment', 'Variables') ?? {}) as object)) {
      if (secretName.test(name)) found.push(`${id}: ${name} looks like a secret`);
    }
  }
  return found;
}

function tasks(template: Template): string[] {
  const found: string[] = [];
  for (const [id, { Properties }] of ofType(template, 'AWS::ECS::TaskDefinition')) {
    if (Properties.NetworkMode !== 'awsvpc') found.push(`${id}: not in its own network namespace`);
    // Of the host: its process ids, its shared memory, its disks.
    for (const shared of ['PidMode', 'IpcMode', 'Volumes']) {
      if (Properties[shared] !== undefined) found.push(`${id}: shares ${shared} with its host`);
    }
    if (JSON.stringify(Properties.TaskRoleArn) === JSON.stringify(Properties.ExecutionRoleArn))
      found.push(`${id}: task and execution share a role`);
    for (const container of asList(Properties.ContainerDefinitions)) {
      const demand = (path: readonly (string | number)[], wanted: unknown) => {
        if (JSON.stringify(at(container, ...path)) !== JSON.stringify(wanted))
          found.push(`${id}: ${path.join('.')} is not ${JSON.stringify(wanted)}`);
      };
      demand(['ReadonlyRootFilesystem'], true);
      demand(['Privileged'], false);
      demand(['User'], '1000:1000');
      demand(['LinuxParameters', 'Capabilities'], { Drop: ['ALL'] });
      demand(['LinuxParameters', 'InitProcessEnabled'], true);
      demand(['StopTimeout'], 120);
      demand(['LogConfiguration', 'LogDriver'], 'awslogs');
      demand(['Image', 'Fn::If', 0], 'HasImage');
      for (const variable of asList(at(container, 'Environment'))) {
        if (secretName.test(String(at(variable, 'Name'))))
          found.push(`${id}: ${at(variable, 'Name')} looks like a secret`);
      }
    }
  }
  const pinned = at(template.Parameters.TaskImage, 'AllowedPattern');
  if (!String(pinned).includes('@sha256:')) found.push('TaskImage: an image without its digest');
  return found;
}

function rules(template: Template): string[] {
  const found: string[] = [];
  for (const [id, { Properties }] of ofType(template, 'AWS::Events::Rule')) {
    for (const target of asList(Properties.Targets)) {
      // A schedule comes again by itself; an event does not.
      const lost = Properties.EventPattern !== undefined && at(target, 'DeadLetterConfig', 'Arn') === undefined;
      if (lost) found.push(`${id}: an event that cannot be delivered is lost`);
    }
  }
  const caught = ofType(template, 'AWS::Lambda::EventInvokeConfig').map(([, { Properties }]) => Properties);
  for (const [id, { Properties }] of ofType(template, 'AWS::Lambda::Permission')) {
    const own = caught.find(
      ({ FunctionName }) => JSON.stringify(FunctionName) === JSON.stringify(Properties.FunctionName),
    );
    if (at(own, 'DestinationConfig', 'OnFailure', 'Destination') === undefined)
      found.push(`${id}: an event that its function fails on is lost`);
  }
  return found;
}
