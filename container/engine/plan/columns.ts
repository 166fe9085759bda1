/**
 * Convolution by columns (kernels/convolution.ts) and products, image by image, each with the zeros around it. A large
 * image goes in pieces of whole rows, so that the columns stay in the cache.
 */
import type { Convolution, Way } from './convolution.ts';

/** Values of the columns of one piece: 256 KiB. */
const pieceValues = 64 * 1024;

export function byColumns({ site, z, kernel, size, strides, padding, input, output, depth }: Convolution): Way {
  const { kernels } = site.bench;
  const { product } = kernels;
  const { scratch } = site;
  const { channels } = input;
  const { filters, width } = output;
  const places = output.height * width;
  const imageLength = input.height * input.width * channels;
  const pieceRows = Math.min(output.height, Math.max(1, Math.floor(pieceValues / (depth * width))));
  const columns = site.columns(depth * pieceRows * width);

  const reach = (axis: 0 | 1, inside: number, out: number): number =>
    Math.max(padding[axis] + inside, (out - 1) * strides[axis] + size[axis]);
  const [high, wide] = [reach(0, input.height, output.height), reach(1, input.width, width)];
  const paddedLength = channels * high * wide;
  const padded = paddedLength === imageLength ? undefined : site.bench.fixed(paddedLength);
  const middle = [channels, input.height, input.width, ...padding, high, wide] as const;
  const window = [channels, high, wide, ...size, ...strides, width] as const;

  const pieces = (work: (row: number, end: number) => void): void => {
    for (let row = 0; row < output.height; row += pieceRows) work(row, Math.min(output.height, row + pieceRows));
  };
  const image = (offset: number, sample: number): number => offset + sample * imageLength * 4;
  const piece = (offset: number, sample: number, row: number): number =>
    offset + (sample * places * filters + row * width) * 4;
  const inside = (sample: number): number => {
    const x = image(site.input.block.offset, sample);
    if (padded === undefined) return x;
    kernels.padPlanes(x, ...middle, padded.offset);
    return padded.offset;
  };

  return {
    forward: (samples) => {
      for (let sample = 0; sample < samples; sample += 1) {
        const x = inside(sample);
        pieces((row, end) => {
          kernels.imageToColumns(x, ...window, row, end, columns.offset);
          const n = (end - row) * width;
          const to = piece(z.block.offset, sample, row);
          product(filters, n, depth, kernel, 1, filters, columns.offset, n, 1, to, places, 0, scratch);
        });
      }
    },
    backward: (samples) => {
      for (let sample = 0; sample < samples; sample += 1) {
        const dx = image(site.input.gradient.offset, sample);
        const to = padded?.offset ?? dx;
        kernels.fill(to, paddedLength, 0);
        pieces((row, end) => {
          const n = (end - row) * width;
          const dz = piece(z.gradient.offset, sample, row);
          product(depth, n, filters, kernel, filters, 1, dz, places, 1, columns.offset, n, 0, scratch);
          kernels.columnsToImage(columns.offset, ...window, row, end, to);
        });
        if (padded !== undefined) kernels.cropPlanes(dx, ...middle, padded.offset);
      }
    },
    gradient: (from, to, out) => {
      let goOn = 0;
      for (let sample = from; sample < to; sample += 1) {
        const x = inside(sample);
        pieces((row, end) => {
          kernels.imageToColumns(x, ...window, row, end, columns.offset);
          const n = (end - row) * width;
          const dz = piece(z.gradient.offset, sample, row);
          product(depth, filters, n, columns.offset, n, 1, dz, 1, places, out, filters, goOn, scratch);
          goOn = 1;
        });
      }
    },
  };
}
