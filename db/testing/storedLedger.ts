/** A world of a random history in a database that it shares with others: ids begin with the world's number. */
import type { BudgetPeriod } from '../../domain/budget';
import type { Lot } from '../../domain/lots';
import type { Operation } from '../../domain/operations';
import type { LedgerSeen } from '../../test/builders/comparison';
import type { Answered, LedgerUnderTest } from '../../test/builders/histories';
import type { World } from '../../test/builders/unitOperations';
import { type Db, rows } from '../client';
import { LOT_COLUMNS, reservationsOf } from '../ledger';
import { insertPeople } from './people';

export class StoredLedger implements LedgerUnderTest {
  constructor(
    private readonly db: Db,
    private readonly world: number,
    private readonly send: (operations: readonly Operation[]) => Promise<Answered>,
  ) {}

  open(world: World): Promise<void> {
    return insertPeople(this.db, { ...world, world: this.world });
  }

  apply(operations: readonly Operation[]): Promise<Answered> {
    return this.send(operations);
  }

  async look(): Promise<LedgerSeen> {
    const ids = this.idsOfWorld();
    const [lots, jobs, budgetPeriods] = await Promise.all([
      rows<Lot>(this.db, `select ${LOT_COLUMNS} from lots where id between ? and ?`, ids),
      rows<{ id: string }>(
        this.db,
        `select distinct subject as id from operations
         where subject between ? and ? and kind in ('reserve', 'release')`,
        ids,
      ),
      rows<BudgetPeriod>(
        this.db,
        `select budget_id as "budgetId", starts_at as "startsAt", ends_at as "endsAt", reserved, charged
         from budget_periods
         where budget_id between ? and ?`,
        ids,
      ),
    ]);
    const jobIds = jobs.map(({ id }) => id);
    return { lots, budgetPeriods, reservations: await reservationsOf(this.db, jobIds) };
  }

  /** The first and the last id that can begin with the world's number. */
  private idsOfWorld(): [string, string] {
    const number = this.world.toString(16).padStart(8, '0');
    return [`${number}-0000-0000-0000-000000000000`, `${number}-ffff-ffff-ffff-ffffffffffff`];
  }
}
