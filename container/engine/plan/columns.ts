/**
 * Convolution by columns (kernels/convolution.ts) and products, image by image. A large image goes in pieces of whole
 * rows, so that the columns stay in the cache.
 */
import type { Convolution, Way } from './convolution.ts';

/** Values of the columns of one piece: 256 KiB. */
const pieceValues = 64 * 1024;

export function byColumns({ site, z, kernel, size, strides, padding, input, output, depth }: Convolution): Way {
  const { kernels } = site.bench;
  const { product } = kernels;
  const { scratch } = site;
  const { filters, width } = output;
  const places = output.height * width;
  const imageLength = input.height * input.width * input.channels;
  const pieceRows = Math.min(output.height, Math.max(1, Math.floor(pieceValues / (depth * width))));
  const columns = site.columns(depth * pieceRows * width);

  const pieces = (from: number, to: number, work: (sample: number, row: number, end: number) => void): void => {
    for (let sample = from; sample < to; sample += 1) {
      for (let row = 0; row < output.height; row += pieceRows) {
        work(sample, row, Math.min(output.height, row + pieceRows));
      }
    }
  };
  const image = (offset: number, sample: number): number => offset + sample * imageLength * 4;
  const piece = (offset: number, sample: number, row: number): number =>
    offset + (sample * places * filters + row * width) * 4;
  const { channels } = input;
  const window = [...size, ...strides, ...padding, width] as const;
  const toColumns = (sample: number, row: number, end: number): void => {
    const x = image(site.input.block.offset, sample);
    kernels.imageToColumns(x, channels, input.height, input.width, ...window, row, end, columns.offset);
  };

  return {
    forward: (samples) =>
      pieces(0, samples, (sample, row, end) => {
        toColumns(sample, row, end);
        const n = (end - row) * width;
        const to = piece(z.block.offset, sample, row);
        product(filters, n, depth, kernel, 1, filters, columns.offset, n, 1, to, places, 0, scratch);
      }),
    backward: (samples) => {
      kernels.fill(site.input.gradient.offset, samples * imageLength, 0);
      pieces(0, samples, (sample, row, end) => {
        const n = (end - row) * width;
        const dz = piece(z.gradient.offset, sample, row);
        product(depth, n, filters, kernel, filters, 1, dz, places, 1, columns.offset, n, 0, scratch);
        const dx = image(site.input.gradient.offset, sample);
        kernels.columnsToImage(columns.offset, channels, input.height, input.width, ...window, row, end, dx);
      });
    },
    gradient: (from, to, out) => {
      let goOn = 0;
      pieces(from, to, (sample, row, end) => {
        toColumns(sample, row, end);
        const n = (end - row) * width;
        const dz = piece(z.gradient.offset, sample, row);
        product(depth, filters, n, columns.offset, n, 1, dz, 1, places, out, filters, goOn, scratch);
        goOn = 1;
      });
    },
  };
}
