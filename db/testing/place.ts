/** A corner of the ledger apart from every other test's: two users on one contract with a shared lot. */

import type { Credits } from '../../domain/credits';
import type { Lot } from '../../domain/lots';
import type { Accepted, GrantOperation, Operation } from '../../domain/operations';
import { atHour, idOf } from '../../test/builders/ids';
import { amount, grant } from '../../test/builders/ledger';
import { firstRow } from '../client';
import { type Ledger, LOT_COLUMNS } from '../ledger';
import type { TestDatabase } from './database';
import { insertPeople } from './people';

let opened = 0;

export class Place {
  readonly number = ++opened;
  readonly user = idOf('user', 1, this.number);
  readonly otherUser = idOf('user', 2, this.number);
  readonly contract = idOf('contract', 1, this.number);
  readonly sharedLot = idOf('lot', 1, this.number);

  private constructor(private readonly database: Pick<TestDatabase, 'db' | 'ledger'>) {}

  /** With a shared lot of some credits. */
  static async open(database: Pick<TestDatabase, 'db' | 'ledger'>, shared: string): Promise<Place> {
    const place = new Place(database);
    const authorisedAt = atHour(0);
    const users = [place.user, place.otherUser];
    await insertPeople(database.db, {
      world: place.number,
      users,
      contracts: [{ contractId: place.contract, startsAt: atHour(0), endsAt: atHour(8760) }],
      authorisations: users.map((userId) => ({ contractId: place.contract, userId, authorisedAt, removedAt: null })),
    });
    await place.accept(place.grant(amount(shared)));
    return place;
  }

  job(n: number): string {
    return idOf('job', n, this.number);
  }

  lotId(n: number): string {
    return idOf('lot', n, this.number);
  }

  /** What the operations of a job have in common. */
  spending(n: number, userId = this.user) {
    return { jobId: this.job(n), userId, contractId: this.contract };
  }

  grant(shared: Credits, id = this.sharedLot): GrantOperation {
    return grant({ lot: { id, poolId: this.contract, amount: shared } });
  }

  /** A lot that is one user's alone. */
  grantIndividual(individual: Credits, id: string, userId = this.user): GrantOperation {
    return grant({ lot: { id, kind: 'individual', poolId: userId, amount: individual } });
  }

  /** Applies operations as one batch. @throws Error when one is refused. */
  accept(...operations: Operation[]): Promise<Accepted[]> {
    return accept(this.database.ledger, ...operations);
  }

  /** A lot as it is stored. */
  async lot(id = this.sharedLot): Promise<Lot> {
    const lot = await firstRow<Lot>(this.database.db, `select ${LOT_COLUMNS} from lots where id = ?`, [id]);
    if (!lot) throw new Error(`there is no lot ${id}`);
    return lot;
  }

  /** How many operations about its lots, jobs, refunds and budgets were applied. */
  async operations(): Promise<number> {
    const found = await firstRow<{ count: bigint }>(
      this.database.db,
      'select count(*) from operations where subject::text like ?',
      [`${this.contract.slice(0, 8)}-%`],
    );
    return Number(found?.count);
  }
}

/** Applies operations as one batch. @throws Error when one is refused. */
export async function accept(ledger: Ledger, ...operations: Operation[]): Promise<Accepted[]> {
  const outcomes = await ledger.applyBatch(operations);
  return outcomes.map((outcome) => {
    if (!outcome.accepted) throw new Error(outcome.message);
    return outcome;
  });
}
