/** "did you mean ...?": the nearest of some known words, or none when nothing is near. */

/** Words that other frameworks use for our fields. */
const synonyms: Readonly<Record<string, readonly string[]>> = {
  lr: ['learningRate'],
  dataset: ['data'],
  model: ['network'],
  optimiser: ['optimizer'],
  normalize: ['normalise'],
  earlystopping: ['stopWhen'],
  batch: ['batchSize'],
  resources: ['worker', 'cluster'],
  maxcost: ['maxCostUsd'],
  minworkers: ['workers'],
  maxworkers: ['workers'],
  ps: ['parameterServers'],
  maxrestarts: ['maxRecoveries'],
  linear: ['dense'],
  crossentropy: ['softmaxCrossEntropy'],
  categoricalcrossentropy: ['softmaxCrossEntropy'],
  binarycrossentropy: ['sigmoidCrossEntropy'],
  mse: ['meanSquaredError'],
  sync: ['synchronous'],
  async: ['asynchronous'],
  spot: ['fargate-spot'],
  maxpool2d: ['maxPooling2d'],
  averagepool2d: ['averagePooling2d'],
  avgpool2d: ['averagePooling2d'],
  batchnorm: ['batchNormalization'],
};

export function suggest(word: string, known: readonly string[]): string | undefined {
  const plain = simplify(word);
  if (plain === '') return undefined;
  for (const candidate of known) if (simplify(candidate) === plain) return candidate;
  for (const candidate of Object.hasOwn(synonyms, plain) ? (synonyms[plain] ?? []) : []) {
    if (known.includes(candidate)) return candidate;
  }
  let best: string | undefined;
  // A third of the word may be wrong, and never more than that: a far-fetched suggestion is worse than none.
  let bestDistance = Math.max(1, Math.floor(plain.length / 3)) + 1;
  for (const candidate of known) {
    const distance = editDistance(plain, simplify(candidate));
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

export function didYouMean(word: string, known: readonly string[]): string {
  const near = suggest(word.slice(0, 64), known);
  return near === undefined ? '' : `; did you mean "${near}"?`;
}

/** `batch_size`, `batch-size` and `BatchSize` are all meant as batchSize. */
function simplify(word: string): string {
  return word.toLowerCase().replace(/[^a-z0-9]/g, '');
}

/** Levenshtein distance with neighbouring letters swapped counting as one. */
function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      row[j] = Math.min(
        last[j]! + 1,
        row[j - 1]! + 1,
        last[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1),
        swapped ? beforeLast[j - 2]! + 1 : Number.POSITIVE_INFINITY,
      );
    }
    [beforeLast, last] = [last, row];
  }
  return last[b.length]!;
}
