/** What the module of container/engine/kernels exports, with its types. */

/** Byte offsets, numbers of values and numbers: what each does is said in container/engine/kernels. */
export interface Kernels {
  activate(kind: number, z: number, a: number, n: number): void;
  activateGradient(kind: number, dy: number, a: number, z: number, n: number): void;
  softmax(z: number, a: number, rows: number, width: number): void;
  softmaxGradient(dy: number, a: number, rows: number, width: number): void;
  dropoutMask(a: number, b: number, threshold: number, kept: number, n: number, out: number): void;
  embed(ids: number, n: number, table: number, rows: number, width: number, y: number): void;
  embedGradient(ids: number, n: number, dy: number, rows: number, width: number, out: number): void;
  lookUp(x: number, n: number, table: number, y: number): void;
  loss(kind: number, z: number, t: number, rows: number, width: number, gradient: number, correct: number): number;
  squareSum(x: number, n: number): number;
  scaleClipped(x: number, n: number, by: number, limit: number): void;
  sgd(w: number, sum: number, n: number, scale: number, rate: number): number;
  momentum(
    w: number,
    v: number,
    sum: number,
    n: number,
    scale: number,
    rate: number,
    momentum: number,
    nesterov: number,
  ): number;
  adam(
    w: number,
    m: number,
    v: number,
    sum: number,
    n: number,
    scale: number,
    rate: number,
    beta1: number,
    rest1: number,
    beta2: number,
    rest2: number,
    correct2: number,
    epsilon: number,
  ): number;
  rmsprop(
    w: number,
    a: number,
    u: number,
    sum: number,
    n: number,
    scale: number,
    rate: number,
    decay: number,
    rest: number,
    momentum: number,
    epsilon: number,
  ): number;
  product(
    m: number,
    n: number,
    k: number,
    a: number,
    aRow: number,
    aColumn: number,
    b: number,
    bRow: number,
    bColumn: number,
    c: number,
    cRow: number,
    accumulate: number,
    scratch: number,
  ): void;
  productScratch(): number;
  treeProduct(
    m: number,
    n: number,
    ends: number,
    parts: number,
    a: number,
    aRow: number,
    aColumn: number,
    b: number,
    bRow: number,
    bColumn: number,
    c: number,
    cRow: number,
    round: number,
    scratch: number,
  ): number;
  add(y: number, x: number, n: number): void;
  addRounded(y: number, x: number, n: number): void;
  addScaled(y: number, x: number, n: number, scale: number): void;
  biasPlanes(x: number, bias: number, samples: number, channels: number, places: number): void;
  biasRows(x: number, bias: number, rows: number, width: number): void;
  fill(x: number, n: number, value: number): void;
  finite(x: number, n: number): number;
  round(x: number, n: number): void;
  pack(x: number, n: number, halves: number): number;
  unpack(x: number, n: number): void;
  multiply(x: number, w: number, y: number, n: number): void;
  sumPlanes(x: number, samples: number, channels: number, places: number, out: number): void;
  sumRows(x: number, rows: number, width: number, out: number): void;
  transposeEach(x: number, samples: number, rows: number, columns: number, y: number): void;
  imageToColumns(
    x: number,
    channels: number,
    height: number,
    width: number,
    kernelHeight: number,
    kernelWidth: number,
    strideY: number,
    strideX: number,
    outWidth: number,
    from: number,
    to: number,
    out: number,
  ): void;
  columnsToImage: Kernels['imageToColumns'];
  cropPlanes: Kernels['padPlanes'];
  padPlanes(
    x: number,
    planes: number,
    height: number,
    width: number,
    top: number,
    left: number,
    outHeight: number,
    outWidth: number,
    out: number,
  ): void;
  packedFilters(depth: number, filters: number): number;
  packFilters(kernel: number, depth: number, filters: number, to: number): void;
  turnKernel(kernel: number, height: number, width: number, channels: number, filters: number, out: number): void;
  convolve(
    x: number,
    xStep: number,
    samples: number,
    offsets: number,
    depth: number,
    windowRows: number,
    packed: number,
    filters: number,
    top: number,
    inside: number,
    height: number,
    width: number,
    xWidth: number,
    z: number,
    zStep: number,
    scratch: number,
  ): void;
  convolveScratch(depth: number): number;
  gradientScratch(depth: number, filters: number, height: number, width: number): number;
  convolveGradient(
    x: number,
    xStep: number,
    samples: number,
    offsets: number,
    depth: number,
    dz: number,
    dzStep: number,
    filters: number,
    height: number,
    width: number,
    xWidth: number,
    out: number,
    scratch: number,
  ): void;
  maxPool(...window: [...PoolArguments, y: number, places: number]): void;
  maxPoolGradient(dy: number, places: number, planes: number, inside: number, outside: number, dx: number): void;
  averagePool(...window: [...PoolArguments, y: number]): void;
  averagePoolGradient(...window: [...PoolArguments, dx: number]): void;
  normInverse(variance: number, channels: number, epsilon: number, inverse: number): void;
  normMomentsRows(x: number, rows: number, channels: number, stats: number): void;
  normMomentsPlanes(x: number, samples: number, channels: number, places: number, stats: number): void;
  normApplyRows(
    x: number,
    rows: number,
    channels: number,
    mean: number,
    inverse: number,
    gamma: number,
    beta: number,
    normal: number,
    y: number,
  ): void;
  normApplyPlanes(
    x: number,
    samples: number,
    channels: number,
    places: number,
    mean: number,
    inverse: number,
    gamma: number,
    beta: number,
    normal: number,
    y: number,
  ): void;
  normGradientRows(dy: number, normal: number, rows: number, channels: number, gamma: number, stats: number): void;
  normGradientPlanes(
    dy: number,
    normal: number,
    samples: number,
    channels: number,
    places: number,
    gamma: number,
    stats: number,
  ): void;
  normDrift(stats: number, moving: number, channels: number, weight: number, out: number): void;
}

export type PoolArguments = [
  x: number,
  planes: number,
  height: number,
  width: number,
  poolHeight: number,
  poolWidth: number,
  strideY: number,
  strideX: number,
  top: number,
  left: number,
  outHeight: number,
  outWidth: number,
];
