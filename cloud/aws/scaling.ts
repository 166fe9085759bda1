/**
 * The scaling port on Auto Scaling groups. ECS managed scaling owns the desired capacity; we only raise and lower the
 * floor (MinSize), which it never touches. AWS raises desired itself when the floor passes it, and nothing here lowers it.
 */
import {
  type AutoScalingClient,
  type AutoScalingGroup,
  DescribeAutoScalingGroupsCommand,
  UpdateAutoScalingGroupCommand,
} from '@aws-sdk/client-auto-scaling';
import { CuttlefishError } from '../../core/failure.ts';
import type { LaunchKind } from '../../core/plan.ts';
import type { Scaling } from '../ports.ts';
import type { AwsSettings } from './settings.ts';

export function awsScaling(client: AutoScalingClient, settings: AwsSettings): Scaling {
  async function find(kind: LaunchKind): Promise<AutoScalingGroup> {
    const name = settings.scalingGroup(kind);
    const { AutoScalingGroups: groups } = await client.send(
      new DescribeAutoScalingGroupsCommand({ AutoScalingGroupNames: [name] }),
    );
    const group = groups?.[0];
    if (group === undefined) {
      throw new CuttlefishError({
        kind: 'CapacityUnavailable',
        wanted: 1,
        granted: 0,
        reason: `the Auto Scaling group "${name}" for launch "${kind}" does not exist`,
      });
    }
    return group;
  }

  return {
    async setFloor(kind, instances) {
      const group = await find(kind);
      const max = group.MaxSize ?? 0;
      // A floor above the maximum is refused by AWS; the caller sees from `max` that it will not get there.
      const floor = Math.max(0, Math.min(Math.ceil(instances), max));
      if (group.MinSize !== floor) {
        await client.send(
          new UpdateAutoScalingGroupCommand({ AutoScalingGroupName: group.AutoScalingGroupName, MinSize: floor }),
        );
      }
      return { inService: countInService(group), max };
    },

    async describe(kind) {
      const group = await find(kind);
      return { inService: countInService(group), floor: group.MinSize ?? 0, max: group.MaxSize ?? 0 };
    },
  };
}

function countInService(group: AutoScalingGroup): number {
  return (group.Instances ?? []).filter(
    (instance) => instance.LifecycleState === 'InService' && instance.HealthStatus !== 'Unhealthy',
  ).length;
}
