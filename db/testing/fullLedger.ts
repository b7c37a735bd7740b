/** A small ledger in which everything has happened that can: every kind of operation, and jobs with quotes and charges. */

import type { Operation } from '../../domain/operations';
import { rateEstimate } from '../../domain/quote';
import type { Dimensions } from '../../domain/usage';
import { quantity } from '../../domain/usage';
import { atHour, idOf } from '../../test/builders/ids';
import {
  amount,
  changeLife,
  closeBudget,
  correct,
  expire,
  grant,
  openBudget,
  refund,
  release,
  reserve,
  settle,
  withdraw,
} from '../../test/builders/ledger';
import { aCard, SIMULATION } from '../../test/builders/rates';
import { beginAttempt, endAttempt, loseOpenAttempts, reportUsage } from '../attempts';
import { closeJob, raiseJobCap, releaseJob, reserveJob, topUpJob } from '../billing';
import { findChargeOfJob } from '../charges';
import { inTransaction } from '../client';
import { addInput } from '../inputs';
import { insertJob } from '../jobs';
import { insertQuote } from '../quotes';
import { publishRateCard } from '../rateCards';
import { approveRefund, askForRefund, findRefund, type RefundAsked, rejectRefund } from '../refunds';
import type { TestDatabase } from './database';
import { insertPeople } from './people';
import { accept } from './place';

const DIGEST = `sha256:${'0'.repeat(64)}`;
const PARAMETERS = { temperature: '300' };
const DIMENSIONS: Dimensions = { size: '12' };

/** Whose ledger it is. */
export const FULL = {
  user: idOf('user', 1),
  otherUser: idOf('user', 2),
  contract: idOf('contract', 1),
  /** A job with a quote, a top-up, a raised cap, a lost attempt, a charge and its refunds. */
  quotedJob: idOf('job', 1),
  quote: idOf('quote', 1),
} as const;

/** Fills an empty, migrated database. */
export async function fillLedger(database: TestDatabase): Promise<void> {
  const { db, ledger } = database;
  const { user, otherUser, contract } = FULL;
  await insertPeople(db, {
    users: [user, otherUser],
    contracts: [{ contractId: contract, startsAt: atHour(0), endsAt: atHour(8760), timeZone: 'Europe/Berlin' }],
    authorisations: [user, otherUser].map((userId) => ({
      contractId: contract,
      userId,
      authorisedAt: atHour(0),
      removedAt: null,
    })),
  });
  await publishRateCard(db, aCard(), user);
  for (const userId of [user, otherUser]) {
    await addInput(db, userId, { digest: DIGEST, size: 1, name: 'one.cir', mediaType: 'text/plain' });
  }
  const apply = (...operations: Operation[]) => accept(ledger, ...operations);

  await apply(
    openBudget({ budget: { ...budget(1), userId: user } }),
    openBudget({
      budget: { ...budget(2), project: 'bridge', period: 'total', warnPercent: null, refusePercent: null },
    }),
    openBudget({ budget: { ...budget(3), userId: otherUser, period: 'day' } }),
    grant({ lot: { id: lot(1), kind: 'individual', poolId: user, amount: amount('4'), source: 'allocation' } }),
    grant({
      lot: {
        id: lot(2),
        amount: amount('60'),
        purchasedAt: atHour(0),
        reference: 'order "7"\n',
        expiresAt: atHour(4000),
      },
    }),
    grant({ lot: { id: lot(3), kind: 'courtesy', source: 'courtesy', amount: amount('8'), advance: true } }),
    grant({ lot: { id: lot(4), kind: 'individual', poolId: otherUser, amount: amount('3') } }),
  );
  await quotedJob(database);
  await otherJobs(database);

  // A job that uses the advance, which the next shared lot repays, until a refund undoes that.
  const advanced = { jobId: idOf('job', 20), userId: user, contractId: contract };
  await apply(
    changeLife({ lotId: lot(2), life: { expiresAt: atHour(100) }, at: atHour(40) }),
    expire({ lotId: lot(2), at: atHour(101) }),
    reserve({ ...advanced, amount: amount('7'), cap: amount('7'), at: atHour(102), project: 'bridge' }),
    settle({ ...advanced, actual: amount('6.5'), at: atHour(103) }),
  );
  await apply(grant({ lot: { id: lot(5), amount: amount('5'), graceUntil: atHour(9000) }, at: atHour(104) }));
  await apply(refund({ ...advanced, refundId: idOf('refund', 1), amount: amount('3'), at: atHour(105) }));
  await apply(
    changeLife({
      lotId: lot(4),
      poolId: otherUser,
      life: { expiresAt: null, withdrawnAt: atHour(110) },
      at: atHour(106),
    }),
    withdraw({ lotId: lot(4), poolId: otherUser, at: atHour(110) }),
    closeBudget({ budgetId: idOf('budget', 3), at: atHour(111) }),
    reserve({
      jobId: idOf('job', 21),
      userId: user,
      contractId: null,
      amount: amount('0'),
      cap: amount('1'),
      at: atHour(112),
    }),
    release({ jobId: idOf('job', 22), at: atHour(113) }),
  );
}

function lot(n: number): string {
  return idOf('lot', n);
}

function budget(n: number) {
  return {
    id: idOf('budget', n),
    contractId: FULL.contract,
    timeZone: 'Europe/Berlin',
    userId: null,
    project: null,
    period: 'month' as const,
    amount: amount('100'),
    warnPercent: 80,
    refusePercent: 100,
  };
}

/** Quoted at one simulation, of which it needs two; the first attempt is lost. */
async function quotedJob({ db, ledger }: TestDatabase): Promise<void> {
  const { user, contract, quotedJob: jobId, quote } = FULL;
  const estimate = estimated('1');
  const forecast = rateEstimate(SIMULATION, DIMENSIONS, {
    low: usage('1'),
    expected: usage('1'),
    high: usage('1'),
    reason: estimate.reason,
  });
  const terms = {
    userId: user,
    contractId: contract,
    service: 'simulation',
    inputDigest: DIGEST,
    parameters: PARAMETERS,
    dimensions: DIMENSIONS,
    rateCardVersion: 1,
  };
  await insertQuote(db, {
    ...terms,
    id: quote,
    estimate,
    facts: {},
    ...forecast,
    maxCredits: forecast.high,
    quotedAt: atHour(1),
    validUntil: atHour(25),
  });
  await insertJob(db, {
    ...terms,
    id: jobId,
    inputName: 'one.cir',
    quoteId: quote,
    expected: forecast.expected,
    maxCredits: forecast.high,
    timeLimitSeconds: 60,
    comment: 'a bridge',
    project: 'bridge',
    route: null,
    submittedAt: atHour(2),
  });
  await reserveJob(ledger, { jobId, at: atHour(2) });
  await run(db, jobId, { seq: 1, units: '0.5', at: atHour(3) });
  await inTransaction(db, (trx) => loseOpenAttempts(trx, jobId, atHour(4)));
  await raiseJobCap(ledger, { jobId, requestId: idOf('operation', 1), cap: amount('12'), actor: user, at: atHour(5) });
  await topUpJob(ledger, { jobId, ordinal: 1, target: amount('11'), at: atHour(5) });
  const attempt = await run(db, jobId, { seq: 1, units: '1.25', at: atHour(6) });
  await report(db, { jobId, attempt, seq: 2, units: '0.75', at: atHour(7) });
  await endAttempt(db, { jobId, attempt, outcome: 'completed', message: 'It was completed.', at: atHour(8) });
  await closeJob(ledger, { jobId, end: 'completed', message: 'It was completed.', at: atHour(8) });
  const charge = await findChargeOfJob(db, jobId);
  if (!charge) throw new Error(`job ${jobId} has no charge`);
  const ask = (n: number, asked: RefundAsked) =>
    askForRefund(ledger, {
      id: idOf('refund', n),
      charge,
      asked,
      reason: 'The result was late.',
      by: user,
      at: atHour(9),
      approvalAbove: amount('1.5'),
    });
  const decided = async (n: number) => {
    const refund = await findRefund(db, idOf('refund', n));
    if (!refund) throw new Error(`there is no refund ${n}`);
    return { refund, by: FULL.otherUser, at: atHour(10), isRepeat: false };
  };
  await ask(2, { amount: amount('1') });
  await ask(4, { amount: amount('2') });
  await ask(5, { actual: amount('6') });
  await ask(6, { amount: amount('3') });
  await approveRefund(ledger, await decided(4), charge);
  await approveRefund(ledger, await decided(5), charge);
  await rejectRefund(db, await decided(6), 'It was not.');
}

/** One above its cap and corrected, one released, one that still runs, one that never began. */
async function otherJobs({ db, ledger }: TestDatabase): Promise<void> {
  const [above, released, running, forgotten, rejected] = [2, 3, 4, 5, 6].map((n) => idOf('job', n)) as [
    string,
    string,
    string,
    string,
    string,
  ];
  await insertPlainJob(db, above, '5');
  await insertPlainJob(db, released, '2');
  await insertPlainJob(db, running, '3');
  await insertPlainJob(db, forgotten, '1');
  await insertPlainJob(db, rejected, '5000');
  await reserveJob(ledger, { jobId: above, at: atHour(20) });
  const attempt = await run(db, above, { seq: 1, units: '1.5', at: atHour(21) });
  await endAttempt(db, { jobId: above, attempt, outcome: 'completed', message: 'It was completed.', at: atHour(22) });
  await closeJob(ledger, { jobId: above, end: 'completed', message: 'It was completed.', at: atHour(22) });
  await accept(
    ledger,
    correct({
      jobId: above,
      userId: FULL.otherUser,
      refundId: idOf('refund', 3),
      actual: amount('4'),
      at: atHour(23),
    }),
  );
  await reserveJob(ledger, { jobId: released, at: atHour(24) });
  await closeJob(ledger, { jobId: released, end: 'platform-failed', message: 'The platform failed.', at: atHour(25) });
  await reserveJob(ledger, { jobId: running, at: atHour(26) });
  await run(db, running, { seq: 1, units: '0.25', at: atHour(27) });
  await releaseJob(ledger, { jobId: forgotten, reason: 'abandoned', message: 'Its workflow is gone.', at: atHour(28) });
  await reserveJob(ledger, { jobId: rejected, at: atHour(29) });
}

async function insertPlainJob(db: TestDatabase['db'], id: string, credits: string): Promise<void> {
  await insertJob(db, {
    id,
    userId: FULL.otherUser,
    contractId: FULL.contract,
    service: 'simulation',
    inputDigest: DIGEST,
    inputName: 'one.cir',
    parameters: {},
    dimensions: {},
    quoteId: null,
    rateCardVersion: 1,
    expected: amount(credits),
    maxCredits: amount(credits),
    timeLimitSeconds: 60,
    comment: '',
    project: null,
    route: null,
    submittedAt: atHour(19),
  });
}

async function run(
  db: TestDatabase['db'],
  jobId: string,
  first: { seq: number; units: string; at: ReturnType<typeof atHour> },
): Promise<number> {
  const attempt = await beginAttempt(db, { jobId, runner: 'embedded', worker: 'one', at: first.at });
  if (typeof attempt !== 'number') throw new Error(`no attempt of job ${jobId} was begun`);
  await report(db, { jobId, attempt, ...first });
  return attempt;
}

async function report(
  db: TestDatabase['db'],
  {
    jobId,
    attempt,
    seq,
    units,
    at,
  }: { jobId: string; attempt: number; seq: number; units: string; at: ReturnType<typeof atHour> },
): Promise<void> {
  const used = usage(units).map((one) => ({ ...one, unit: 'simulations' }));
  await reportUsage(db, { jobId, attempt, seq, usage: used, progress: 0, source: 'embedded', at });
}

function usage(units: string) {
  return [{ meter: 'simulations', quantity: quantity(amount(units)) }];
}

function estimated(units: string) {
  const scenario = [{ meter: 'simulations', quantity: units }];
  return { low: scenario, expected: scenario, high: scenario, reason: 'The netlist says so.' };
}
