/** Our counters against those that a program states of itself. */

/** A counter on which the two differ. */
export interface Disagreement {
  readonly counter: string;
  readonly counted: number;
  readonly stated: number;
}

/** The counters that a program states and that we counted otherwise; what it does not state cannot disagree. */
export function disagreementsOf(
  counted: Readonly<Record<string, number>>,
  stated: Readonly<Record<string, number>>,
): Disagreement[] {
  return Object.entries(stated)
    .map(([counter, value]) => ({ counter, counted: counted[counter] ?? 0, stated: value }))
    .filter((one) => one.counted !== one.stated);
}
