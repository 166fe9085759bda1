/**
 * The ten digits as pen strokes in a unit box, x to the right and y downwards, each in the ways people write it.
 * Arcs use a table made from exact literals by multiplication alone, not Math.cos: the same bits on every machine.
 */

export type Point = readonly [number, number];
/** Points that the pen passes without being lifted. */
export type Stroke = readonly Point[];
export type Glyph = readonly Stroke[];

const cos15 = 0.9659258262890683;
const sin15 = 0.25881904510252074;
const circle: readonly Point[] = makeCircle();

const zero: Glyph = [arc(0.5, 0.5, 0.27, 0.45, 0, 24)];
const zeroNarrow: Glyph = [arc(0.5, 0.5, 0.2, 0.45, 18, 43)];
const oneFlag: Glyph = [
  [
    [0.36, 0.24],
    [0.52, 0.05],
    [0.52, 0.95],
  ],
];
const onePlain: Glyph = [
  [
    [0.5, 0.05],
    [0.5, 0.95],
  ],
];
const oneBase: Glyph = [
  ...oneFlag,
  [
    [0.32, 0.95],
    [0.72, 0.95],
  ],
];
const two: Glyph = [[...arc(0.49, 0.3, 0.26, 0.25, 13, 26), [0.22, 0.94], [0.79, 0.94]]];
const twoLoop: Glyph = [
  [
    ...arc(0.49, 0.29, 0.25, 0.24, 14, 26),
    [0.42, 0.78],
    ...arc(0.32, 0.85, 0.1, 0.09, 4, 20),
    [0.55, 0.9],
    [0.8, 0.94],
  ],
];
const three: Glyph = [[...arc(0.46, 0.28, 0.25, 0.23, 14, 30), ...arc(0.46, 0.72, 0.28, 0.23, 18, 34)]];
const threeFlat: Glyph = [[[0.25, 0.06], [0.72, 0.06], [0.46, 0.43], ...arc(0.46, 0.69, 0.27, 0.25, 19, 34)]];
const four: Glyph = [
  [
    [0.6, 0.05],
    [0.2, 0.66],
    [0.82, 0.66],
  ],
  [
    [0.62, 0.05],
    [0.62, 0.95],
  ],
];
const fourOpen: Glyph = [
  [
    [0.28, 0.06],
    [0.24, 0.54],
    [0.76, 0.54],
  ],
  [
    [0.7, 0.05],
    [0.68, 0.95],
  ],
];
const five: Glyph = [[[0.75, 0.06], [0.33, 0.06], [0.3, 0.46], ...arc(0.48, 0.67, 0.27, 0.27, 15, 34)]];
const six: Glyph = [[[0.66, 0.06], [0.45, 0.2], [0.31, 0.42], ...arc(0.5, 0.7, 0.25, 0.24, 12, 36)]];
const sixStraight: Glyph = [[[0.5, 0.05], [0.36, 0.35], ...arc(0.49, 0.71, 0.22, 0.23, 12, 36)]];
const seven: Glyph = [
  [
    [0.22, 0.07],
    [0.78, 0.07],
    [0.43, 0.95],
  ],
];
const sevenBar: Glyph = [
  ...seven,
  [
    [0.38, 0.5],
    [0.76, 0.5],
  ],
];
const eight: Glyph = [arc(0.5, 0.27, 0.2, 0.21, 0, 24), arc(0.5, 0.71, 0.25, 0.24, 0, 24)];
const eightOpen: Glyph = [[...arc(0.5, 0.27, 0.22, 0.21, 21, 6, -1), ...arc(0.5, 0.71, 0.25, 0.24, 18, 42)]];
const nine: Glyph = [[...arc(0.5, 0.3, 0.24, 0.24, 24, 0, -1), [0.73, 0.6], [0.66, 0.95]]];
const nineCurl: Glyph = [[...arc(0.5, 0.3, 0.23, 0.24, 24, 0, -1), ...arc(0.46, 0.68, 0.27, 0.26, 0, 9)]];

/** glyphs[digit] are the ways to write it. */
export const glyphs: readonly (readonly Glyph[])[] = [
  [zero, zero, zeroNarrow],
  [onePlain, oneFlag, oneBase],
  [two, two, twoLoop],
  [three, three, threeFlat],
  [four, fourOpen],
  [five],
  [six, sixStraight],
  [seven, sevenBar],
  [eight, eight, eightOpen],
  [nine, nine, nineCurl],
];

/** Points on an ellipse from one twenty-fourth of the turn to another; 0 is to the right, 6 is down. */
function arc(x: number, y: number, rx: number, ry: number, from: number, to: number, step = 1): Stroke {
  const count = Math.abs(to - from) + 1;
  return Array.from({ length: count }, (_, i) => {
    const [cx, cy] = circle[(((from + i * step) % 24) + 24) % 24] as Point;
    return [x + rx * cx, y + ry * cy];
  });
}

function makeCircle(): Point[] {
  const points: Point[] = [[1, 0]];
  for (let i = 1; i < 24; i += 1) {
    const [x, y] = points[i - 1] as Point;
    points.push([x * cos15 - y * sin15, x * sin15 + y * cos15]);
  }
  return points;
}
