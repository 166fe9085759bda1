import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { digitPixels, drawDigit, generateDigits } from '../../../core/data/digits.ts';

const noise = 0.2;

describe('generateDigits()', () => {
  it('draws sample i the same, whoever draws it and whatever was drawn before (G1)', () => {
    const set = generateDigits(7, 'train', 50, noise);
    const one = new Uint8Array(digitPixels);
    for (const i of [49, 3, 17]) {
      expect(drawDigit(7, i, noise, one)).toBe(set.labels[i]);
      expect(one).toEqual(set.pixels.subarray(i * digitPixels, (i + 1) * digitPixels));
    }
    expect(generateDigits(7, 'train', 50, noise)).toEqual(set);
  });

  it('draws the same bits as ever (G2): a change here changes every weights digest', () => {
    const { pixels } = generateDigits(1, 'train', 100, noise);
    expect(createHash('sha256').update(pixels).digest('hex').slice(0, 16)).toBe('35302e7d0b98ab62');
  });

  it('draws other samples for another seed, and in the test set', () => {
    const train = generateDigits(7, 'train', 10, noise).pixels;
    expect(generateDigits(8, 'train', 10, noise).pixels).not.toEqual(train);
    expect(generateDigits(7, 'test', 10, noise).pixels).not.toEqual(train);
  });

  it('keeps every digit whole in the picture, with ink and ground', () => {
    const { pixels } = generateDigits(3, 'train', 500, 0);
    let edge = 0;
    for (let i = 0; i < 500; i += 1) {
      const image = pixels.subarray(i * digitPixels, (i + 1) * digitPixels);
      const ink = image.reduce((sum, value) => sum + (value > 128 ? 1 : 0), 0);
      expect(ink).toBeGreaterThan(15);
      expect(ink).toBeLessThan(220);
      for (let k = 0; k < 28; k += 1) {
        for (const at of [k, 27 * 28 + k, k * 28, k * 28 + 27]) if ((image[at] as number) > 128) edge += 1;
      }
    }
    expect(edge).toBeLessThan(50);
  });

  it('is a real task: nearest class mean gets most but not all, the nearest neighbour more', () => {
    const train = generateDigits(5, 'train', 1000, noise);
    const test = generateDigits(5, 'test', 150, noise);
    const means = Array.from({ length: 10 }, () => new Float64Array(digitPixels));
    for (let i = 0; i < 1000; i += 1) {
      const mean = means[train.labels[i] as number] as Float64Array;
      for (let p = 0; p < digitPixels; p += 1) {
        mean[p] = (mean[p] as number) + (train.pixels[i * digitPixels + p] as number) / 100;
      }
    }
    let byMean = 0;
    let byNeighbour = 0;
    for (let i = 0; i < 150; i += 1) {
      const image = test.pixels.subarray(i * digitPixels, (i + 1) * digitPixels);
      const label = test.labels[i];
      if (nearest(image, means) === label) byMean += 1;
      const neighbour = nearest(
        image,
        Array.from({ length: 1000 }, (_, k) => train.pixels.subarray(k * digitPixels, (k + 1) * digitPixels)),
      );
      if (train.labels[neighbour] === label) byNeighbour += 1;
    }
    expect(byMean / 150).toBeGreaterThan(0.6);
    expect(byMean / 150).toBeLessThan(0.95);
    expect(byNeighbour / 150).toBeGreaterThan(0.85);
  });

  it('draws 5000 samples in well under a second', () => {
    generateDigits(1, 'train', 200, noise);
    const started = performance.now();
    generateDigits(1, 'train', 5000, noise);
    // 0.2 s alone on the machine; the margin is for what else runs there.
    expect(performance.now() - started).toBeLessThan(1500);
  });
});

function nearest(image: ArrayLike<number>, candidates: readonly ArrayLike<number>[]): number {
  let best = -1;
  let least = Number.POSITIVE_INFINITY;
  for (const [k, candidate] of candidates.entries()) {
    let distance = 0;
    for (let p = 0; p < digitPixels && distance < least; p += 1) {
      const off = (image[p] as number) - (candidate[p] as number);
      distance += off * off;
    }
    if (distance < least) {
      least = distance;
      best = k;
    }
  }
  return best;
}
