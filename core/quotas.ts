/**
 * What a stage allows any config: how many tasks, for how long, at what cost, on which capacity, with whose data. A config may
 * ask for less, never for more; where it says nothing it gets at most this. On a laptop there are no quotas.
 *
 * Invariants
 *  QU1 A config that asks for more is refused with the line that asks, before anything is started (P7).
 *  QU2 A default is never a reason to be refused: what the config leaves open is bounded.
 *  QU3 There is no field for an image, a role, a command or a network: what no config can say needs no quota.
 */
import type { Parsed } from './config/parse.ts';
import { locate, type Positions, type Problem, sortIssues } from './config/positions.ts';
import type { Config } from './config/schema.ts';
import type { TaskSize } from './fargate.ts';
import type { LaunchKind, RolePlan } from './plan.ts';

export interface Quotas {
  readonly maxTasks?: number;
  readonly maxVcpus?: number;
  readonly maxDurationMs?: number;
  readonly maxCostUsd?: number;
  /** Kinds of capacity that the stage has. */
  readonly launch?: readonly LaunchKind[];
  /** Prefixes that data and models may be read from: `s3://bucket/prefix/`. */
  readonly data?: readonly string[];
}

export const noQuotas: Quotas = {};

/** The config within the quotas, or all that it asks for beyond them. `source` is the name of the file. */
export function within(parsed: Parsed, quotas: Quotas, source: string): Parsed {
  if (parsed.kind === 'invalid') return parsed;
  const { config, positions } = parsed;
  const problems = quotaProblems(config, quotas, positions);
  if (problems.length > 0) return { kind: 'invalid', source, issues: sortIssues(locate(problems, positions)) };
  return { ...parsed, config: bounded(config, quotas) };
}

const hourMs = 3_600_000;

function quotaProblems(config: Config, quotas: Quotas, positions: Positions): Problem[] {
  const { cluster, limits } = config;
  const problems: Problem[] = [];
  const refuse = (path: Problem['path'], message: string, accepted: string): void => {
    problems.push({ path, message: `${message} than this stage allows`, accepted });
  };
  const tasks = cluster.workers.max + cluster.parameterServers;
  const { maxTasks, maxDurationMs, maxCostUsd, launch, data } = quotas;
  if (maxTasks !== undefined && tasks > maxTasks) {
    refuse(['cluster', 'workers'], `"${tasks}" workers and parameter servers are more`, `at most ${maxTasks} together`);
  }
  if (maxDurationMs !== undefined && positions.has('limits.maxDuration') && limits.maxDuration > maxDurationMs) {
    refuse(
      ['limits', 'maxDuration'],
      `"${limits.maxDuration / hourMs}h" is longer`,
      `at most ${maxDurationMs / hourMs}h`,
    );
  }
  if (maxCostUsd !== undefined && (limits.maxCostUsd ?? 0) > maxCostUsd) {
    refuse(['limits', 'maxCostUsd'], `"${limits.maxCostUsd}" is more`, `at most ${maxCostUsd}`);
  }
  if (launch !== undefined && cluster.launch !== 'local' && !launch.includes(cluster.launch)) {
    refuse(
      ['cluster', 'launch'],
      `"${cluster.launch}" is other capacity`,
      launch.map((kind) => `"${kind}"`).join(', '),
    );
  }
  for (const [path, uri] of uris(config)) {
    if (data === undefined || !uri.startsWith('s3://') || data.some((prefix) => uri.startsWith(prefix))) continue;
    refuse(path, `"${uri}" is another place`, `under ${data.join(' or ')}`);
  }
  return problems;
}

function uris({ data, network }: Config): [Problem['path'], string][] {
  const places: [Problem['path'], string | undefined][] = [
    [['data', 'path'], 'path' in data ? data.path : undefined],
    [['data', 'testPath'], 'testPath' in data ? data.testPath : undefined],
    [['network', 'model'], network.model],
  ];
  return places.filter((place): place is [Problem['path'], string] => place[1] !== undefined);
}

/** QU2. */
function bounded(config: Config, { maxDurationMs, maxCostUsd }: Quotas): Config {
  const { maxDuration } = config.limits;
  const cost = config.limits.maxCostUsd ?? maxCostUsd;
  return {
    ...config,
    limits: {
      ...config.limits,
      maxDuration: Math.min(maxDuration, maxDurationMs ?? maxDuration),
      ...(cost === undefined ? {} : { maxCostUsd: cost }),
    },
  };
}

/** The rungs that the stage has. The first is the config's own choice, which was checked. */
export function allowedLadder(ladder: readonly LaunchKind[], { launch }: Quotas): readonly LaunchKind[] {
  return launch === undefined ? ladder : ladder.filter((kind, i) => i === 0 || launch.includes(kind));
}

/** All tasks at once, each role in the size that is given. */
export function vcpuProblems(roles: readonly RolePlan[], { maxVcpus }: Quotas): Problem[] {
  const vcpus = roles.reduce((sum, { max, cpu }) => sum + (max * cpu) / 1024, 0);
  if (maxVcpus === undefined || vcpus <= maxVcpus) return [];
  const message = `the tasks need ${vcpus} vCPU together, more than this stage allows`;
  return [{ path: ['cluster', 'workers'], message, accepted: `at most ${maxVcpus}: fewer or smaller tasks` }];
}

/** Larger sizes for what ran out of memory, as far as they stay within the quota when every task has them. */
export function allowedGrowth(role: RolePlan, other: RolePlan, { maxVcpus }: Quotas): readonly TaskSize[] {
  if (maxVcpus === undefined) return role.growth;
  const rest = (other.max * other.cpu) / 1024;
  return role.growth.filter(({ cpu }) => rest + (role.max * cpu) / 1024 <= maxVcpus);
}
