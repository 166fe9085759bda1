/**
 * Convolution of stride 1 without columns (kernels/direct.ts). The way back is a convolution too: of the gradient, padded,
 * with the kernel turned around.
 */
import type { Block } from './bench.ts';
import type { Convolution, Way } from './convolution.ts';

export function directly({ site, z, kernel, size, padding, input, output, depth }: Convolution): Way {
  const { bench } = site;
  const { kernels } = bench;
  const { filters } = output;
  const { channels } = input;
  const [kernelHeight, kernelWidth] = size;
  const places = output.height * output.width;
  const imageLength = input.height * input.width * channels;

  const wide = output.width + kernelWidth - 1;
  const high = output.height + kernelHeight - 1;
  const isPadded = wide !== input.width || high !== input.height;
  const padded = isPadded ? bench.perSample(channels * high * wide) : site.input.block;
  const imageBytes = channels * high * wide * 4;
  const offsets = offsetTable(site.bench, size, channels, high, wide);
  const packed = bench.fixed(kernels.packedFilters(depth, filters));
  const gradientBytes = kernels.gradientScratch(depth, filters, output.height, output.width);
  const room = site.columns(Math.max(gradientBytes, kernels.convolveScratch(depth)) / 4);
  const back = site.needsInput ? wayBack() : undefined;

  function wayBack() {
    const [top, left] = [kernelHeight - 1 - padding[0], kernelWidth - 1 - padding[1]];
    const backDepth = kernelHeight * kernelWidth * filters;
    const [backHigh, backWide] = [input.height + kernelHeight - 1, input.width + kernelWidth - 1];
    site.columns(kernels.convolveScratch(backDepth) / 4);
    const image = bench.fixed(filters * backHigh * backWide);
    const turned = bench.fixed(backDepth * channels);
    const backPacked = bench.fixed(kernels.packedFilters(backDepth, channels));
    const backOffsets = offsetTable(bench, size, filters, backHigh, backWide);
    return (samples: number): void => {
      kernels.turnKernel(kernel, kernelHeight, kernelWidth, channels, filters, turned.offset);
      kernels.packFilters(turned.offset, backDepth, channels, backPacked.offset);
      for (let sample = 0; sample < samples; sample += 1) {
        const dz = z.gradient.offset + sample * places * filters * 4;
        const dx = site.input.gradient.offset + sample * imageLength * 4;
        const from = [filters, output.height, output.width, top, left] as const;
        kernels.padPlanes(dz, ...from, backHigh, backWide, image.offset);
        const by = [backOffsets.offset, backDepth, kernelHeight, backPacked.offset, channels] as const;
        const rows = [top, output.height] as const;
        kernels.convolve(image.offset, 0, 1, ...by, ...rows, input.height, input.width, backWide, dx, 0, room.offset);
      }
    };
  }

  return {
    forward: (samples) => {
      if (isPadded) {
        const image = [input.height, input.width, ...padding] as const;
        for (let sample = 0; sample < samples; sample += 1) {
          const x = site.input.block.offset + sample * imageLength * 4;
          kernels.padPlanes(x, channels, ...image, high, wide, padded.offset + sample * imageBytes);
        }
      }
      kernels.packFilters(kernel, depth, filters, packed.offset);
      const by = [offsets.offset, depth, kernelHeight, packed.offset, filters] as const;
      const rows = [padding[0], input.height] as const;
      const to = [z.block.offset, places * filters * 4] as const;
      kernels.convolve(
        padded.offset,
        imageBytes,
        samples,
        ...by,
        ...rows,
        output.height,
        output.width,
        wide,
        ...to,
        room.offset,
      );
    },
    backward: (samples) => back?.(samples),
    gradient: (from, to, out) => {
      const x = padded.offset + from * imageBytes;
      const step = places * filters * 4;
      const dz = z.gradient.offset + from * step;
      const by = [offsets.offset, depth, dz, step, filters] as const;
      const [height, width] = [output.height, output.width];
      kernels.convolveGradient(x, imageBytes, to - from, ...by, height, width, wide, out, room.offset);
    },
  };
}

/** The distances of the weights of a window in bytes, in the order of the kernel tensor. */
function offsetTable(
  bench: Convolution['site']['bench'],
  [kernelHeight, kernelWidth]: readonly [number, number],
  channels: number,
  high: number,
  wide: number,
): Block {
  const block = bench.fixed(kernelHeight * kernelWidth * channels);
  const table = bench.ints(block.offset, block.length);
  let i = 0;
  for (let row = 0; row < kernelHeight; row += 1) {
    for (let column = 0; column < kernelWidth; column += 1) {
      for (let channel = 0; channel < channels; channel += 1) {
        table[i] = ((channel * high + row) * wide + column) * 4;
        i += 1;
      }
    }
  }
  return block;
}
