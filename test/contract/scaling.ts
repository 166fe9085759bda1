/** The clause of the Scaling port, N1. `make` gives groups without instances that can grow to at least three. */
import { describe, expect, it } from 'vitest';
import type { Scaling } from '../../cloud/ports.ts';

export function describeScaling(name: string, make: () => Promise<Scaling>): void {
  describe(`${name}: the scaling port`, () => {
    it('N1 raises the floor, and takes nothing out of service when it is lowered', async () => {
      const scaling = await make();
      expect(await scaling.describe('ec2')).toMatchObject({ inService: 0, floor: 0 });
      const raised = await scaling.setFloor('ec2', 3);
      expect(raised.max).toBeGreaterThanOrEqual(3);
      expect(await scaling.describe('ec2')).toMatchObject({ floor: 3 });
      const lowered = await scaling.setFloor('ec2', 1);
      expect(lowered.inService).toBeGreaterThanOrEqual(raised.inService);
      expect(await scaling.describe('ec2')).toMatchObject({ floor: 1 });
    });

    it('N1 keeps launch kinds apart, and asks for no more than the group may have', async () => {
      const scaling = await make();
      const { max } = await scaling.setFloor('ec2-spot', 1);
      expect(await scaling.describe('ec2')).toMatchObject({ floor: 0 });
      await scaling.setFloor('ec2-spot', max + 5);
      expect((await scaling.describe('ec2-spot')).floor).toBe(max);
    });
  });
}
