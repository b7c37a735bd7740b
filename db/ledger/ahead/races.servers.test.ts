import { setImmediate as turn } from 'node:timers/promises';
import { type Chance, chanceOf } from '../../../dev/chaos/chance';
import type { Budget } from '../../../domain/budget';
import { credits } from '../../../domain/credits';
import { type Operation, type Outcome, subjectOf } from '../../../domain/operations';
import { atHour, idOf } from '../../../test/builders/ids';
import {
  aBudget,
  amount,
  changeLife,
  closeBudget,
  expire,
  grant,
  openBudget,
  raiseCap,
  release,
  reserve,
  settle,
  topUp,
} from '../../../test/builders/ledger';
import { repeatably, SEED } from '../../../test/builders/seed';
import { rows } from '../../client';
import { operationsOfJob } from '../../ledger';
import { checkLedger, database, describeApart, insist, openProcess, type Process } from '../../testing/ahead';
import { Place } from '../../testing/place';

jest.setTimeout(60_000);

describeApart('processes that race on one place', () => {
  interface Told {
    readonly operation: Operation;
    readonly outcome: Outcome;
  }

  const micro = (chance: Chance, max: number) => credits(BigInt(chance.between(0, max)));

  /** What is asked for one job, in order. Months change, and a budget's period with them. */
  function lifeOf(place: Place, n: number, chance: Chance): Operation[] {
    const job = () => ({
      ...place.spending(n, place.user),
      userId: isOthers ? place.otherUser : place.user,
      at: atHour(chance.pick([1, 1, 1, 740, 744, 1500])),
    });
    const isOthers = chance.between(0, 2) === 0;
    const begin = reserve({
      ...job(),
      amount: micro(chance, 2_000_000),
      cap: amount('3'),
      project: chance.pick([null, 'bridge']),
    });
    const more = [
      topUp({ ...job(), target: micro(chance, 4_000_000) }),
      raiseCap({ ...job(), cap: amount('5') }),
      topUp({ ...job(), target: micro(chance, 6_000_000) }),
    ].filter(() => chance.between(0, 2) === 0);
    const end = chance.between(0, 3) === 0 ? release(job()) : settle({ ...job(), actual: micro(chance, 5_000_000) });
    return [begin, ...more, end];
  }

  /** What people do meanwhile: one of these at a time. */
  class Administration {
    private readonly lots: string[] = [];
    private budget: Budget | undefined;
    private made = 10;

    constructor(
      private readonly place: Place,
      private readonly chance: Chance,
    ) {}

    async doSomething(one: Process): Promise<void> {
      const { place, chance } = this;
      const { contract: poolId } = place;
      this.made += 1;
      const lotId = chance.pick([...this.lots, place.sharedLot]);
      await chance.pick([
        async () => {
          const expiresAt = atHour(chance.between(1501, 8760));
          const lot = { id: place.lotId(this.made), poolId, amount: amount('15'), expiresAt };
          await this.arrange(one, [grant({ lot })]);
          this.lots.push(lot.id);
        },
        () => this.arrange(one, [place.grantIndividual(amount('3'), place.lotId(this.made), place.otherUser)]),
        () =>
          insist(() =>
            one.apply(changeLife({ lotId, poolId, life: { expiresAt: atHour(chance.between(1501, 8760)) } })),
          ),
        () => insist(() => one.apply(expire({ lotId, poolId, at: atHour(8760) }))),
        async () => {
          if (this.budget) {
            await this.arrange(one, [closeBudget({ budgetId: this.budget.id, contractId: poolId })]);
            this.budget = undefined;
            return;
          }
          const ofUser = chance.between(0, 1) === 0;
          this.budget = aBudget({
            id: idOf('budget', this.made, place.number),
            contractId: poolId,
            ...(ofUser ? { userId: place.user } : { project: 'bridge' }),
            amount: amount(String(chance.between(5, 60))),
          });
          await this.arrange(one, [openBudget({ budget: this.budget })]);
        },
        () => this.forAWhile('contracts', { id: poolId }, { ends_at: atHour(1) }, { ends_at: atHour(8760) }),
        () =>
          this.forAWhile(
            'contract_users',
            { contract_id: poolId, user_id: place.otherUser },
            { removed_at: atHour(1) },
            { removed_at: null },
          ),
      ])();
    }

    private async arrange(one: Process, operations: readonly Operation[]): Promise<void> {
      for (const operation of operations) {
        expect(await insist(() => one.apply(operation))).toMatchObject({ accepted: true });
      }
    }

    private async forAWhile(table: string, where: object, changed: object, back: object): Promise<void> {
      await database.owner(table).where(where).update(changed);
      for (let turns = this.chance.between(0, 30); turns > 0; turns--) await turn();
      await database.owner(table).where(where).update(back);
    }
  }

  /** Ends sessions of a process now and then; what was lost is asked again. */
  async function endSessions(chance: Chance): Promise<number> {
    const names = await rows<{ name: string }>(
      database.owner,
      `select distinct application_name as name from pg_stat_activity
       where application_name like 'process %' and datname = current_database()
       order by 1`,
    );
    const ended = await rows(
      database.admin,
      'select pg_terminate_backend(pid) from pg_stat_activity where application_name = ? and backend_type = ?',
      [names.length > 0 ? chance.pick(names).name : '', 'client backend'],
    );
    return ended.length;
  }

  /** Of what was asked all that was accepted is in the journal, once and as it was told, and nothing that was refused. */
  async function compareWithJournal(told: readonly Told[]): Promise<void> {
    const byJob = new Map<string, Told[]>();
    for (const one of told) byJob.set(subjectOf(one.operation), [...(byJob.get(subjectOf(one.operation)) ?? []), one]);
    for (const [jobId, asked] of byJob) {
      const journal = await operationsOfJob(database.db, jobId);
      const accepted = new Map<string, Told[]>();
      for (const one of asked) {
        if (one.outcome.accepted) accepted.set(one.operation.act, [...(accepted.get(one.operation.act) ?? []), one]);
      }
      expect(journal.map(({ act }) => act).sort()).toEqual([...accepted.keys()].sort());
      for (const { act, kind, transfers, absorbed } of journal) {
        for (const { operation, outcome } of accepted.get(act) ?? []) {
          expect({ kind: operation.kind, outcome }).toMatchObject({ kind, outcome: { transfers, absorbed } });
        }
      }
    }
  }

  test.each([
    { count: 2, ends: false },
    { count: 4, ends: false },
    { count: 2, ends: true },
  ])('keep every law, whatever is changed in between ($count of them, sessions are ended: $ends)', ({ count, ends }) =>
    repeatably(async () => {
      const chance = chanceOf(SEED ^ (count + Number(ends)));
      const [place, all] = [await Place.open(database, '400'), Array.from({ length: count }, () => openProcess())];
      const administration = new Administration(place, chance);
      const told: Told[] = [];
      let [jobs, ended] = [0, 0];
      const ask = async (one: Process, operation: Operation) => {
        const outcome = await insist(() => one.apply(operation));
        told.push({ operation, outcome });
        return outcome;
      };
      const askAsOneBatch = async (one: Process, operations: readonly Operation[]) => {
        const outcomes = await insist(() => one.ledger.applyBatch(operations));
        told.push(...outcomes.map((outcome, index) => ({ operation: operations[index] as Operation, outcome })));
      };
      const live = async (one: Process, life: readonly Operation[], isPatient: boolean) => {
        if (!isPatient) return void (await Promise.all(life.map((operation) => ask(one, operation))));
        if (chance.between(0, 9) === 0) return askAsOneBatch(one, life);
        for (const operation of life) {
          const others = chance.between(0, 5) === 0 ? [chance.pick(all)] : [];
          const [outcome] = await Promise.all([one, ...others].map((asked) => ask(asked, operation)));
          if (!outcome?.accepted && operation.kind === 'reserve') return;
        }
      };
      const sum = (which: 'ahead' | 'refused') => all.reduce((total, { sent }) => total + sent[which], 0);
      // It would be no race if nobody went ahead, or if nobody was refused by the database since another was first.
      for (let round = 0; sum('ahead') - sum('refused') < 30 || sum('refused') < 6; round++) {
        if (round > 400) throw new Error(`after ${round} rounds: ${JSON.stringify(all.map(({ sent }) => sent))}`);
        // Mostly one works alone, so that it comes to know the place before another one comes.
        const working = chance.between(0, 2) === 0 ? all : [chance.pick(all)];
        const lives = working.flatMap((one) =>
          Array.from({ length: chance.between(1, 12 / working.length) }, () => {
            jobs += 1;
            return live(one, lifeOf(place, jobs, chance), chance.between(0, 3) > 0);
          }),
        );
        if (ends) ended += await endSessions(chance);
        if (chance.between(0, 1) === 0) await administration.doSomething(chance.pick(all));
        await Promise.all(lives);
      }
      await checkLedger();
      await compareWithJournal(told);
      const fresh = told.filter(({ outcome }) => outcome.accepted && !outcome.replayed);
      const keys = fresh.map(({ operation }) => `${subjectOf(operation)}/${operation.act}`);
      expect(new Set(keys).size).toBe(keys.length);
      expect(keys.length).toBeGreaterThan(100);
      if (ends) expect(ended).toBeGreaterThan(3);
    }),
  );
});
