/**
 * How well one sample is told from another by size alone: the chance that a value of `b` is greater than one of `a`, ties counting
 * half (the area under the ROC curve, Mann and Whitney's U over the number of pairs). 0.5: not at all; 0 or 1: always. It makes no
 * assumption about distributions, and a slow machine slows both.
 */
export function distinguishability(a: readonly number[], b: readonly number[]): { auc: number; sigma: number } {
  let wins = 0;
  for (const x of a) for (const y of b) wins += y > x ? 1 : y === x ? 0.5 : 0;
  const pairs = a.length * b.length;
  // Of the statistic when nothing tells them apart.
  return { auc: wins / pairs, sigma: Math.sqrt((a.length + b.length + 1) / (12 * pairs)) };
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((x, y) => x - y);
  return sorted[Math.floor(sorted.length / 2)] ?? NaN;
}
