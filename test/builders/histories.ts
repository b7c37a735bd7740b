/** Random histories: what people and clocks do to a ledger, and one run of them beside the model of single credits. */
import { chanceOf } from '../../dev/chaos/chance';
import { type Operation, type Outcome, subjectOf, type Transfer } from '../../domain/operations';
import { compareAnswer, compareSeen, differenceOf, type LedgerSeen } from './comparison';
import { drawSetting, Requests } from './requests';
import { count, type Tally } from './tally';
import { UnitCredits, type UnitOutcome, type UnitRequest } from './unitCredits';
import { operationOf, poolsOf, type World, worldOf } from './unitOperations';

/** Everything that happens follows from these numbers. Steps can be left out, to find out which ones matter. */
export interface History {
  readonly setting: number;
  readonly steps: readonly number[];
}

/** The history of a world: the same for the same seed and number. */
export function historyOf(
  { seed, world }: { seed: number; world: number },
  steps: { min: number; max: number },
): History {
  // Worlds of neighbouring seeds have nothing in common.
  const chance = chanceOf(seed ^ Math.imul(world, 0x9e37_79b1));
  const number = () => chance.between(0, 0x7fff_ffff);
  return { setting: number(), steps: Array.from({ length: chance.between(steps.min, steps.max) }, number) };
}

export interface Answered {
  readonly outcomes: readonly Outcome[];
  /** How often the operations were sent until they were answered; each time but the last may have been applied or not. */
  readonly sent: number;
}

/** A ledger under test. */
export interface LedgerUnderTest {
  open(world: World): Promise<void> | void;
  /** Applies operations together, in order. */
  apply(operations: readonly Operation[]): Promise<Answered> | Answered;
  look(): Promise<LedgerSeen> | LedgerSeen;
}

interface Run {
  readonly tally: Tally;
  /** Ids carry it, so that histories can share a database. */
  readonly world?: number;
  /** After how many batches what the ledger holds is looked at; always at the end. */
  readonly lookEvery?: number;
  /** At most so many operations travel together. */
  readonly batchMax?: number;
  /** Whether an operation does not travel together with an earlier one. */
  readonly apart?: (later: Operation, earlier: Operation) => boolean;
}

interface Asked {
  readonly request: UnitRequest;
  readonly at: number;
  readonly operation: Operation;
  readonly expected: UnitOutcome;
}

/**
 * Runs a history on a ledger and on the model, and compares each outcome and what is held: each bucket of each lot, each
 * reservation, each period of each budget. One microcredit of the ledger is one credit of the model.
 *
 * @throws Error that names the first difference and tells the history.
 */
export async function runBesideModel(
  history: History,
  ledger: LedgerUnderTest,
  { tally, world = 0, lookEvery = 1, batchMax = Number.POSITIVE_INFINITY, apart = () => false }: Run,
): Promise<UnitCredits> {
  const setting = drawSetting(chanceOf(history.setting), world);
  const model = new UnitCredits(setting);
  const requests = new Requests(setting, model, world);
  const answers = new Map<string, readonly Transfer[]>();
  const told: Asked[] = [];
  let batch: Asked[] = [];
  let turn = 0;

  const flush = async () => {
    const { outcomes, sent } = await ledger.apply(batch.map(({ operation }) => operation));
    note(expectedOf(model, batch, outcomes, sent), outcomes, { answers, tally });
    batch = [];
    turn += 1;
    if (turn % lookEvery === 0) compareSeen(model, await ledger.look());
  };
  try {
    await ledger.open(worldOf(setting));
    for (const step of history.steps) {
      const { request, at } = requests.next(chanceOf(step));
      const operation = operationOf(request, at);
      if (batch.some((one) => apart(operation, one.operation))) await flush();
      const asked = { request, at, operation, expected: model.ask(request, at) };
      told.push(asked);
      batch.push(asked);
      const size = setting.batches[turn % setting.batches.length] ?? 1;
      if (batch.length >= Math.min(size, batchMax)) await flush();
    }
    if (batch.length > 0) await flush();
    compareSeen(model, await ledger.look());
    for (const [what, times] of model.marks) count(tally, what, times);
  } catch (cause) {
    throw new Error(`${cause instanceof Error ? cause.message : cause}\n${story(told)}`, { cause });
  }
  return model;
}

/** Whether two operations have the same key. */
export function isRepeat(later: Operation, earlier: Operation): boolean {
  return subjectOf(later) === subjectOf(earlier) && later.act === earlier.act;
}

/** Whether two operations are about the same thing and have no pool in common: a stranger asks for somebody's job. */
export function isStrangers(later: Operation, earlier: Operation): boolean {
  const pools = new Set(poolsOf(earlier));
  const things = new Set(thingsOf(earlier));
  return thingsOf(later).some((id) => things.has(id)) && !poolsOf(later).some((id) => pools.has(id));
}

function thingsOf(operation: Operation): string[] {
  return 'jobId' in operation ? [operation.jobId, subjectOf(operation)] : [subjectOf(operation)];
}

/**
 * What the model expects of a batch that was sent several times: an answer that was lost may have been one of a batch that
 * was applied. Then the repeat finds what was accepted, and decides anew what was refused.
 */
function expectedOf(
  model: UnitCredits,
  batch: readonly Asked[],
  outcomes: readonly Outcome[],
  sent: number,
): readonly Asked[] {
  let expected = batch;
  for (let applied = 1; applied < sent && firstDifference(expected, outcomes) !== undefined; applied++) {
    expected = expected.map((asked) => ({ ...asked, expected: model.ask(asked.request, asked.at) }));
  }
  return expected;
}

/**
 * Leaves out as many steps of a history as it can without losing its failure.
 *
 * @returns the failure of the shortest history that was found.
 */
export async function shortestFailure(
  history: History,
  run: (history: History) => Promise<unknown>,
  triesMax: number,
): Promise<Error> {
  const failureOf = async (steps: readonly number[]) => {
    try {
      await run({ ...history, steps });
      return undefined;
    } catch (error) {
      return error instanceof Error ? error : new Error(String(error));
    }
  };
  let steps = history.steps;
  let failure = await failureOf(steps);
  if (!failure) return new Error('the history did not fail a second time');
  let tries = 0;
  for (let length = steps.length >> 1; length >= 1; length >>= 1) {
    for (let from = 0; from < steps.length && tries < triesMax; tries++) {
      const fewer = [...steps.slice(0, from), ...steps.slice(from + length)];
      const same = await failureOf(fewer);
      if (same) [steps, failure] = [fewer, same];
      else from += length;
    }
  }
  return failure;
}

function story(told: readonly Asked[]): string {
  const lines = told.map(({ request, at, expected }) => {
    const outcome = expected.accepted ? 'accepted' : expected.code;
    return `${at}: ${JSON.stringify(request)} ${outcome}`;
  });
  return lines.slice(-80).join('\n');
}

/** @throws Error that names the first outcome that is not the expected one. */
function note(
  expected: readonly Asked[],
  outcomes: readonly Outcome[],
  { answers, tally }: { answers: Map<string, readonly Transfer[]>; tally: Tally },
): void {
  const difference = firstDifference(expected, outcomes);
  if (difference !== undefined) throw new Error(difference);
  expected.forEach(({ request, expected: wanted }, index) => {
    const outcome = outcomes[index];
    if (outcome?.accepted) compareAnswer(request, outcome.transfers, answers);
    tally.operations += 1;
    count(tally, `${request.do} ${!wanted.accepted ? wanted.code : wanted.replayed ? 'replayed' : 'accepted'}`);
    if (wanted.accepted && wanted.warnings.length > 0) count(tally, `${request.do} warned`);
  });
}

function firstDifference(expected: readonly Asked[], outcomes: readonly Outcome[]): string | undefined {
  for (const [index, { request, expected: wanted }] of expected.entries()) {
    const difference = differenceOf(request, wanted, outcomes[index]);
    if (difference !== undefined) return difference;
  }
  return undefined;
}
