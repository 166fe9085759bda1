import { describe, expect, it } from 'vitest';
import { shouldStop } from '../../core/stop.ts';

const epochs = (...accuracies: number[]) => accuracies.map((accuracy) => ({ accuracy, loss: 1 - accuracy }));

describe('shouldStop()', () => {
  it('stops when the metric reaches its value, from the right side', () => {
    const accuracy = [{ metric: 'accuracy', reaches: 0.9, minDelta: 0 }] as const;
    const loss = [{ metric: 'loss', reaches: 0.1, minDelta: 0 }] as const;
    expect(shouldStop(accuracy, epochs(0.5, 0.89))).toEqual({ stop: false });
    expect(shouldStop(accuracy, epochs(0.5, 0.9)).stop).toBe(true);
    expect(shouldStop(loss, epochs(0.5, 0.8)).stop).toBe(false);
    expect(shouldStop(loss, epochs(0.5, 0.95)).stop).toBe(true);
  });

  it('stops after `patience` epochs without an improvement of minDelta', () => {
    const rule = [{ metric: 'accuracy', patience: 2, minDelta: 0.01 }] as const;
    expect(shouldStop(rule, epochs(0.5, 0.505)).stop).toBe(false);
    expect(shouldStop(rule, epochs(0.5, 0.505, 0.509)).stop).toBe(true);
    expect(shouldStop(rule, epochs(0.5, 0.505, 0.6, 0.6)).stop).toBe(false);
    expect(shouldStop(rule, epochs(0.5, 0.505, 0.6, 0.6, 0.55)).stop).toBe(true);
  });

  it('never stops without rules or epochs', () => {
    expect(shouldStop([], epochs(1)).stop).toBe(false);
    expect(shouldStop([{ metric: 'loss', reaches: 10, minDelta: 0 }], []).stop).toBe(false);
  });
});
