/** What a verification found: the first wrong row of each pool. */

/** Whom a finding concerns. */
export interface Place {
  /** The table of the wrong row. */
  readonly table: string;
  /** What tells the row from others of its table, such as its id. */
  readonly row: string;
  readonly batchId?: string;
  readonly position?: number;
  /** Of an operation: together its key. */
  readonly subject?: string;
  readonly act?: string;
}

export interface Finding extends Place {
  /** The pool whose first wrong row this is; `null` for rows of no pool, of which the first of each table is named. */
  readonly poolId: string | null;
  /** What is wrong, in a sentence without its end. */
  readonly what: string;
  readonly expected?: string;
  readonly found?: string;
}

/** Why a row is wrong. Thrown where it is noticed, caught where the row is known. */
export class Wrong extends Error {
  override readonly name = 'Wrong';
  constructor(
    readonly what: string,
    readonly expected?: string,
    readonly found?: string,
  ) {
    super(what);
  }
}

/** @throws Wrong when the two are not the same. */
export function mustBe(what: string, found: string | bigint | null, expected: string | bigint | null): void {
  if (found !== expected) throw new Wrong(what, String(expected), String(found));
}

export class Findings {
  private readonly byPool = new Map<string, Finding>();

  /** Notes what is wrong with a row for each of the pools that it concerns. */
  add(poolIds: Iterable<string>, place: Place, wrong: unknown): void {
    const { what, expected, found } = wrong instanceof Wrong ? wrong : unreadable(wrong);
    const described = {
      ...place,
      what,
      ...(expected !== undefined && { expected }),
      ...(found !== undefined && { found }),
    };
    let isOfAPool = false;
    for (const poolId of poolIds) {
      isOfAPool = true;
      if (!this.byPool.has(poolId)) this.byPool.set(poolId, { poolId, ...described });
    }
    if (!isOfAPool && !this.byPool.has(place.table)) this.byPool.set(place.table, { poolId: null, ...described });
  }

  /** Runs a check of a row and notes what it throws. */
  check(poolIds: Iterable<string>, place: Place, check: () => void): void {
    try {
      check();
    } catch (error) {
      this.add(poolIds, place, error);
    }
  }

  list(): Finding[] {
    return [...this.byPool.values()];
  }
}

/** Values that cannot even be read make the readers of numbers, instants and JSON throw. */
function unreadable(error: unknown): Wrong {
  if (error instanceof RangeError || error instanceof SyntaxError || error instanceof TypeError) {
    return new Wrong(`it cannot be read: ${error.message}`);
  }
  throw error;
}
