/** What the module exports; container/engine/plan/kernels.ts has the same list with its types. */
export { activate, activateGradient, softmax, softmaxGradient } from './activation.ts';
export { addRounded, pack, round, unpack } from './bfloat16.ts';
export { columnsToImage, imageToColumns } from './convolution.ts';
export { convolve, convolveScratch, packedFilters, packFilters, turnKernel } from './direct.ts';
export { convolveGradient, dotTile, gradientScratch } from './direct-gradient.ts';
export { dropoutMask } from './dropout.ts';
export { embed, embedGradient } from './embedding.ts';
export { lookUp } from './look-up.ts';
export { loss } from './loss.ts';
export {
  normApplyPlanes,
  normApplyRows,
  normDrift,
  normGradientPlanes,
  normGradientRows,
  normInverse,
  normMomentsPlanes,
  normMomentsRows,
} from './normalisation.ts';
export { adam, momentum, rmsprop, scaleClipped, sgd, squareSum } from './optimizer.ts';
export { cropPlanes, padPlanes } from './padding.ts';
export { averagePool, averagePoolGradient, maxPool, maxPoolGradient } from './pooling.ts';
export { product, productScratch, treeProduct } from './product.ts';
export {
  add,
  addScaled,
  biasPlanes,
  biasRows,
  fill,
  finite,
  multiply,
  sumPlanes,
  sumRows,
  transposeEach,
} from './vector.ts';
