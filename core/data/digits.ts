/**
 * The built-in data set: 28 x 28 grey-scale images of handwritten-looking digits, drawn from pen strokes.
 *
 * Invariants
 *  G1  Sample i is a pure function of (seed, i, noise): any task computes any sample, in any order.
 *  G2  Only additions, products, quotients and square roots of doubles, which IEEE 754 fixes to the bit: the same pixels
 *      on every machine.
 *  G3  Labels are balanced: sample i shows the digit i mod 10. The order of training is a keyed permutation anyway.
 */
import { keyed, type Stream } from '../random.ts';
import { type Glyph, glyphs } from './glyphs.ts';

export const digitSide = 28;
export const digitPixels = digitSide * digitSide;
export const digitClasses = 10;
/** The test set is another stretch of the same endless sequence, so that its samples are the same for any `samples`. */
const testOffset = 1_000_000_000;
const streamKey = 0x6469;

export interface DigitSet {
  readonly pixels: Uint8Array;
  readonly labels: Uint8Array;
}

/** Samples that are drawn when they are first needed: training begins before the last one is. */
export interface DigitSource extends DigitSet {
  readonly need: (index: number) => void;
}

export function digitSource(seed: number, part: 'train' | 'test', samples: number, noise: number): DigitSource {
  const pixels = new Uint8Array(samples * digitPixels);
  const offset = part === 'train' ? 0 : testOffset;
  const labels = Uint8Array.from({ length: samples }, (_, i) => (offset + i) % digitClasses);
  const drawn = new Uint8Array(samples);
  const need = (i: number): void => {
    if (drawn[i] === 1) return;
    drawn[i] = 1;
    drawDigit(seed, offset + i, noise, pixels.subarray(i * digitPixels, (i + 1) * digitPixels));
  };
  return { pixels, labels, need };
}

export function generateDigits(seed: number, part: 'train' | 'test', samples: number, noise: number): DigitSet {
  const { pixels, labels, need } = digitSource(seed, part, samples, noise);
  for (let i = 0; i < samples; i += 1) need(i);
  return { pixels, labels };
}

// Scratch of one drawing: nothing survives a call.
const ink = new Float64Array(digitPixels);
const px = new Float64Array(64);
const py = new Float64Array(64);

/** Draws sample `index` into 784 pixels and returns its label. `noise` is tremor of the pen and grain, 0 to 1. */
export function drawDigit(seed: number, index: number, noise: number, out: Uint8Array): number {
  const random = keyed(seed, streamKey, index);
  const label = index % digitClasses;
  const ways = glyphs[label] as readonly Glyph[];
  const glyph = ways[Math.floor(random.next() * ways.length)] as Glyph;
  ink.fill(0);
  const place = placement(random, noise);
  const radius = between(random, 0.7, 1.5);
  for (const stroke of glyph) {
    for (let i = 0; i < stroke.length; i += 1) place(stroke[i] as readonly [number, number], i);
    for (let i = 1; i < stroke.length; i += 1) {
      drawSegment(px[i - 1] as number, py[i - 1] as number, px[i] as number, py[i] as number, radius);
    }
  }
  const strength = between(random, 200, 255);
  const grain = noise * 140;
  for (let i = 0; i < digitPixels; i += 1) {
    const value = strength * (ink[i] as number) + (grain > 0 ? grain * (2 * random.next() - 1) : 0);
    out[i] = value <= 0 ? 0 : value >= 255 ? 255 : Math.round(value);
  }
  return label;
}

/** A hand: a smooth warp, then scale, shear, rotation and shift, then a little tremor. Writes point i into px, py. */
function placement(random: Stream, noise: number): (point: readonly [number, number], i: number) => void {
  const bow = between(random, -0.3, 0.3);
  const lean = between(random, -0.3, 0.3);
  const sx = between(random, 14.5, 18.5);
  const sy = between(random, 17.5, 21);
  const shear = between(random, -0.18, 0.18);
  // Rotation by its half-angle tangent t: cos = (1 - t^2) / (1 + t^2), sin = 2t / (1 + t^2).
  const t = between(random, -0.08, 0.08);
  const cos = (1 - t * t) / (1 + t * t);
  const sin = (2 * t) / (1 + t * t);
  const dx = digitSide / 2 - 0.5 + between(random, -1.2, 1.2);
  const tremor = 1.5 * noise;
  const dy = digitSide / 2 - 0.5 + between(random, -1.2, 1.2);
  return ([gx, gy], i) => {
    const u = gx - 0.5;
    const v = gy - 0.5;
    const x = (u + bow * (v * v - 0.08) * 0.5 + shear * v) * sx + between(random, -tremor, tremor);
    const y = (v + lean * u * v) * sy + between(random, -tremor, tremor);
    px[i] = cos * x - sin * y + dx;
    py[i] = sin * x + cos * y + dy;
  };
}

/** Ink within `radius` of the segment, fading over one pixel; where strokes cross the darker one stays. */
function drawSegment(x0: number, y0: number, x1: number, y1: number, radius: number): void {
  const reach = radius + 0.5;
  const left = Math.max(0, Math.ceil(Math.min(x0, x1) - reach));
  const right = Math.min(digitSide - 1, Math.floor(Math.max(x0, x1) + reach));
  const top = Math.max(0, Math.ceil(Math.min(y0, y1) - reach));
  const bottom = Math.min(digitSide - 1, Math.floor(Math.max(y0, y1) + reach));
  const ex = x1 - x0;
  const ey = y1 - y0;
  const lengthSquared = ex * ex + ey * ey;
  for (let y = top; y <= bottom; y += 1) {
    for (let x = left; x <= right; x += 1) {
      const along = lengthSquared === 0 ? 0 : ((x - x0) * ex + (y - y0) * ey) / lengthSquared;
      const at = Math.max(0, Math.min(1, along));
      const ox = x - x0 - at * ex;
      const oy = y - y0 - at * ey;
      const distance = Math.sqrt(ox * ox + oy * oy);
      if (distance >= reach) continue;
      const amount = distance <= radius - 0.5 ? 1 : reach - distance;
      const pixel = y * digitSide + x;
      if (amount > (ink[pixel] as number)) ink[pixel] = amount;
    }
  }
}

function between(random: Stream, low: number, high: number): number {
  return low + (high - low) * random.next();
}
