import { type Chance, chanceOf } from '../../../dev/chaos/chance';
import type { Operation, Outcome } from '../../../domain/operations';
import { differenceOf } from '../../../test/builders/comparison';
import { type History, historyOf, isStrangers } from '../../../test/builders/histories';
import { drawSetting, Requests } from '../../../test/builders/requests';
import { repeatably, SEED } from '../../../test/builders/seed';
import { UnitCredits, type UnitOutcome, type UnitRequest } from '../../../test/builders/unitCredits';
import { instantOf, operationOf, worldOf } from '../../../test/builders/unitOperations';
import { checkLedger, database, describeApart, openProcess, type Process } from '../../testing/ahead';
import { insertPeople } from '../../testing/people';

jest.setTimeout(60_000);

describeApart('a history', () => {
  /** A step of a history: something that is asked, or a change by an administrator. */
  type Step =
    | { readonly request: UnitRequest; readonly wanted: UnitOutcome; readonly operation: Operation }
    | { readonly change: () => Promise<unknown> };

  const uuid = (world: number) => world.toString(16).padStart(8, '0');

  /** Makes the world of a history, and all of its steps with what the rules say to them. */
  async function tell(history: History, world: number): Promise<Step[]> {
    const drawn = drawSetting(chanceOf(history.setting), world);
    const setting = { ...drawn, terms: new Map(drawn.terms), authorised: [...drawn.authorised] };
    await insertPeople(database.db, { ...worldOf(setting), world });
    const model = new UnitCredits(setting);
    const requests = new Requests(setting, model, world);
    let now = setting.origin;
    return history.steps.map((seed): Step => {
      const chance = chanceOf(seed);
      if (chance.between(1, 9) > 1) {
        const { request, at } = requests.next(chance);
        now = at;
        return { request, operation: operationOf(request, at), wanted: model.ask(request, at) };
      }
      if (chance.between(0, 1) === 0) {
        const [id, { from }] = chance.pick([...setting.terms]);
        const to = Math.max(from + 1, now + chance.pick([0, 1, 20, 500]));
        setting.terms.set(id, { from, to });
        return {
          change: () =>
            database
              .owner('contracts')
              .where({ id })
              .update({ ends_at: instantOf(to) }),
        };
      }
      const index = chance.between(0, setting.authorised.length - 1);
      const authorisation = setting.authorised[index] as (typeof setting.authorised)[number];
      const { contractId, userId, from } = authorisation;
      const to = chance.pick([null, Math.max(from + 1, now)]);
      setting.authorised[index] = { ...authorisation, to };
      const removed_at = to === null ? null : instantOf(to);
      const where = { contract_id: contractId, user_id: userId };
      return { change: () => database.owner('contract_users').where(where).update({ removed_at }) };
    });
  }

  /** An answer without the world in which it was given. Of several budgets in the way any may be named. */
  function worldless(outcome: Outcome, world: number): string {
    const told = outcome.accepted
      ? { ...outcome, warnings: outcome.warnings.map((one) => JSON.stringify(one, text)).sort() }
      : outcome.code === 'budget_exceeded'
        ? outcome.code
        : outcome;
    return JSON.stringify(told, text).replaceAll(uuid(world), 'world');
  }

  const text = (_: string, value: unknown) => (typeof value === 'bigint' ? value.toString() : value);

  function compare(step: Step, outcome: Outcome | undefined): void {
    if ('change' in step) return;
    const difference = differenceOf(step.request, step.wanted, outcome);
    if (difference !== undefined) throw new Error(difference);
  }

  /** Asks step by step, whomever. */
  async function oneByOne(
    steps: readonly Step[],
    apply: (operation: Operation) => Promise<Outcome>,
  ): Promise<Outcome[]> {
    const outcomes: Outcome[] = [];
    for (const step of steps) {
      if ('change' in step) {
        await step.change();
        continue;
      }
      const outcome = await apply(step.operation);
      compare(step, outcome);
      outcomes.push(outcome);
    }
    return outcomes;
  }

  /** Asks many at once, as far as their order is theirs: a stranger may ask for a job on other pools. */
  async function manyAtOnce(steps: readonly Step[], one: Process, chance: Chance): Promise<Outcome[]> {
    const outcomes: Outcome[] = [];
    let handful: Extract<Step, { operation: Operation }>[] = [];
    const ask = async () => {
      const answers = await Promise.all(handful.map(({ operation }) => one.apply(operation)));
      handful.forEach((step, index) => {
        compare(step, answers[index]);
      });
      outcomes.push(...answers);
      handful = [];
    };
    for (const step of steps) {
      if ('change' in step) {
        await ask();
        await step.change();
        continue;
      }
      if (handful.some(({ operation }) => isStrangers(step.operation, operation))) await ask();
      handful.push(step);
      if (handful.length >= chance.between(1, 12)) await ask();
    }
    await ask();
    return outcomes;
  }

  const STEPS = 100;

  const HISTORIES_MAX = 30;
  const wentAhead = (some: readonly Process[]) => some.reduce((sum, { sent }) => sum + sent.ahead - sent.refused, 0);

  test('is answered the same by processes that know nothing, by one that knows it all, and where many ask at once', () =>
    repeatably(async () => {
      const [patient, busy] = [openProcess(), openProcess()];
      for (let n = 0; n < 2 || wentAhead([patient]) < 10 || wentAhead([busy]) < 3; n++) {
        if (n > HISTORIES_MAX) throw new Error(`after ${n} histories: ${JSON.stringify([patient.sent, busy.sent])}`);
        const history = historyOf({ seed: SEED, world: n }, { min: STEPS, max: STEPS });
        const worlds = [3 * n, 3 * n + 1, 3 * n + 2].map((number) => 1000 + number) as [number, number, number];
        const told = [
          await oneByOne(await tell(history, worlds[0]), async (operation) => {
            const one = openProcess();
            const outcome = await one.apply(operation);
            await one.close();
            return outcome;
          }),
          await oneByOne(await tell(history, worlds[1]), (operation) => patient.apply(operation)),
          await manyAtOnce(await tell(history, worlds[2]), busy, chanceOf(SEED ^ n)),
        ].map((outcomes, index) => outcomes.map((outcome) => worldless(outcome, worlds[index] as number)));
        expect(told[1]).toEqual(told[0]);
        expect(told[2]).toEqual(told[0]);
      }
      await checkLedger();
    }));

  test('is decided by the rules, whoever is asked', () =>
    repeatably(async () => {
      const all = Array.from({ length: 3 }, () => openProcess());
      const refused = () => all.reduce((sum, { sent }) => sum + sent.refused, 0);
      for (let n = 0; n < 4 || wentAhead(all) < 15 || refused() < 5; n++) {
        if (n > HISTORIES_MAX) throw new Error(`after ${n} histories: ${JSON.stringify(all.map(({ sent }) => sent))}`);
        const history = historyOf({ seed: SEED + 1, world: n }, { min: STEPS, max: STEPS });
        const chance = chanceOf(SEED ^ n);
        // Mostly the same one is asked for a while, so that it comes to know the world before another one changes it.
        let asked = chance.pick(all);
        await oneByOne(await tell(history, 2000 + n), (operation) => {
          if (chance.between(0, 5) === 0) asked = chance.pick(all);
          return asked.apply(operation);
        });
      }
      await checkLedger();
    }));
});
