/** A ledger as the first schema's code wrote it: keys in one text, reservations as rows, balances by the application. */
import { assess, type Dossier } from '../../domain/charge';
import { formatCredits } from '../../domain/credits';
import { atHour, idOf } from '../../test/builders/ids';
import { amount } from '../../test/builders/ledger';
import { aCard, SIMULATION } from '../../test/builders/rates';
import type { Db } from '../client';
import { insertPeople } from './people';

const DIGEST = `sha256:${'0'.repeat(64)}`;

export const FIRST = {
  user: idOf('user', 1),
  contract: idOf('contract', 1),
  individualLot: idOf('lot', 1),
  sharedLot: idOf('lot', 2),
  courtesyLot: idOf('lot', 3),
  /** Topped up, consented to more, settled and charged. */
  settledJob: idOf('job', 1),
  /** Reserved, and once asked for a top-up that nothing lacked. */
  openJob: idOf('job', 2),
  releasedJob: idOf('job', 3),
  /** Released before it was reserved. */
  markedJob: idOf('job', 4),
  /** Above its not-to-exceed amount, on individual credits alone. */
  absorbedJob: idOf('job', 5),
  /** Of the settled job, whose not-to-exceed amount was 8 then. */
  quote: idOf('quote', 1),
  raiseCapRequest: idOf('operation', 99),
} as const;

const { user, contract, individualLot, sharedLot, courtesyLot } = FIRST;
const { settledJob, openJob, releasedJob, markedJob, absorbedJob } = FIRST;

let written = 0;

/** Fills a database of the first schema with people, lots, jobs, reservations, operations and a charge. */
export async function fillFirstSchema(db: Db): Promise<void> {
  written = 0;
  await insertPeople(db, {
    users: [user],
    contracts: [{ contractId: contract, startsAt: atHour(0), endsAt: atHour(8760), timeZone: 'Europe/Berlin' }],
    authorisations: [{ contractId: contract, userId: user, authorisedAt: atHour(0), removedAt: null }],
  });
  const card = aCard();
  await db('rate_cards').insert({
    version: 1,
    effective_at: card.effectiveAt,
    card: JSON.stringify(card),
    published_by: user,
  });
  await db('inputs').insert({ digest: DIGEST, size: 1 });
  await lots(db);
  await operations(db);
  await reservations(db);
  await jobs(db);
}

async function lots(db: Db): Promise<void> {
  const contractLot = { pool_id: contract, pool_owner: 'contract', effective_at: atHour(0), expires_at: atHour(4000) };
  const empty = { reserved: 0, expired: 0, withdrawn: 0 };
  await db('lots').insert([
    {
      ...empty,
      id: individualLot,
      pool_id: user,
      pool_owner: 'user',
      kind: 'individual',
      source: 'allocation',
      granted: micro('10'),
      available: 0,
      consumed: micro('10'),
      effective_at: atHour(0),
    },
    {
      ...contractLot,
      ...empty,
      id: sharedLot,
      kind: 'shared',
      source: 'purchase',
      reference: 'order 7',
      granted: micro('100'),
      available: micro('84.5'),
      reserved: micro('7'),
      consumed: micro('8.5'),
      purchased_at: atHour(0),
    },
    {
      ...contractLot,
      ...empty,
      id: courtesyLot,
      kind: 'courtesy',
      source: 'courtesy',
      granted: micro('3'),
      available: micro('3'),
      consumed: 0,
    },
  ]);
}

async function operations(db: Db): Promise<void> {
  const append = async (
    kind: string,
    job: string | null,
    act: string,
    transfers: readonly (readonly [move: string, lotId: string, amount: string])[],
    more: { actor?: string; absorbed?: string; at?: number } = {},
  ) => {
    written += 1;
    const at = more.at ?? written;
    await db('operations').insert({
      id: idOf('operation', written),
      kind,
      key: `${job ?? transfers[0]?.[1]}/${act}`,
      request_hash: Buffer.alloc(32, written),
      job_id: job,
      booked_at: atHour(at),
      // Some of one batch.
      recorded_at: atHour(at + Math.floor(written / 2)),
      actor: more.actor ?? (job === null ? user : `job/${job}`),
      reason: kind === 'settle' ? 'It was completed.' : `the first schema's ${kind}`,
      lot_ids: transfers.map(([, lotId]) => lotId),
      moves: transfers.map(([move]) => move).join(''),
      amounts: transfers.map(([, , text]) => micro(text)),
      absorbed: micro(more.absorbed ?? '0'),
    });
  };
  await append('grant', null, 'grant', [['ga', individualLot, '10']]);
  await append('grant', null, 'grant', [['ga', sharedLot, '100']]);
  await append('grant', null, 'grant', [['ga', courtesyLot, '3']]);
  await append('reserve', settledJob, 'reserve', [['ar', individualLot, '8']]);
  await append('release', markedJob, 'release', []);
  await append('raiseCap', settledJob, `raiseCap/${FIRST.raiseCapRequest}`, [], { actor: user });
  await append('topUp', settledJob, 'topUp/1', [
    ['ar', individualLot, '2'],
    ['ar', sharedLot, '10'],
  ]);
  await append('reserve', openJob, 'reserve', [['ar', sharedLot, '7']]);
  await append('settle', settledJob, 'settle', [
    ['rc', individualLot, '10'],
    ['rc', sharedLot, '8.5'],
    ['ra', sharedLot, '1.5'],
  ]);
  await append('topUp', openJob, 'topUp/1', []);
  await append('reserve', releasedJob, 'reserve', [['ar', sharedLot, '4']]);
  await append('release', releasedJob, 'release', [['ra', sharedLot, '4']]);
  await append('reserve', absorbedJob, 'reserve', []);
  await append('settle', absorbedJob, 'settle', [], { absorbed: '2.25' });
}

async function reservations(db: Db): Promise<void> {
  const open = { user_id: user, contract_id: contract, lot_ids: [], amounts: [] };
  await db('reservations').insert([
    { ...open, job_id: settledJob, state: 'settled', cap: micro('20'), opened_at: atHour(4), closed_at: atHour(9) },
    { ...open, job_id: markedJob, state: 'released', cap: 0, opened_at: atHour(5), closed_at: atHour(5) },
    {
      ...open,
      job_id: openJob,
      state: 'open',
      cap: micro('9'),
      lot_ids: [sharedLot],
      amounts: [micro('7')],
      opened_at: atHour(8),
    },
    { ...open, job_id: releasedJob, state: 'released', cap: micro('4'), opened_at: atHour(11), closed_at: atHour(12) },
    {
      ...open,
      job_id: absorbedJob,
      contract_id: null,
      state: 'settled',
      cap: 0,
      opened_at: atHour(13),
      closed_at: atHour(14),
    },
  ]);
}

async function jobs(db: Db): Promise<void> {
  const insert = (id: string, row: Readonly<Record<string, unknown>>) =>
    db('jobs').insert({
      id,
      user_id: user,
      contract_id: contract,
      service: 'simulation',
      input_digest: DIGEST,
      input_name: 'one.cir',
      parameters: '{}',
      dimensions: '{}',
      rate_card_version: 1,
      time_limit_seconds: 60,
      submitted_at: atHour(3),
      ...row,
    });
  const scenario = [{ meter: 'simulations', quantity: '1.6' }];
  await db('quotes').insert({
    id: FIRST.quote,
    user_id: user,
    contract_id: contract,
    service: 'simulation',
    input_digest: DIGEST,
    parameters: '{}',
    dimensions: '{}',
    estimate: JSON.stringify({ low: scenario, expected: scenario, high: scenario, reason: '' }),
    rate_card_version: 1,
    low: micro('8'),
    expected: micro('8'),
    high: micro('8'),
    max_credits: micro('8'),
    quoted_at: atHour(2),
    valid_until: atHour(26),
  });
  await insert(settledJob, {
    quote_id: FIRST.quote,
    state: 'settled',
    reason: 'completed',
    message: 'It was completed.',
    expected: micro('8'),
    max_credits: micro('20'),
    ended_at: atHour(9),
  });
  await insert(openJob, { state: 'running', expected: micro('7'), max_credits: micro('9') });
  await db('attempts').insert({
    job_id: settledJob,
    number: 1,
    runner: 'embedded',
    worker: 'one',
    started_at: atHour(5),
    ended_at: atHour(9),
    outcome: 'completed',
    message: 'It was completed.',
  });
  await db('usage_records').insert({
    job_id: settledJob,
    attempt: 1,
    seq: 1,
    meter: 'simulations',
    unit: 'simulations',
    quantity: micro('3.7'),
    source: 'embedded',
    measured_at: atHour(8),
  });
  const dossier = dossierOf();
  await db('charges').insert({
    id: dossier.chargeId,
    job_id: settledJob,
    user_id: user,
    contract_id: contract,
    service: 'simulation',
    rate_card_version: 1,
    job_end: 'completed',
    rated: micro('18.5'),
    charged: micro('18.5'),
    absorbed: 0,
    max_credits: micro('20'),
    dossier: JSON.stringify(dossier),
    booked_at: atHour(9),
  });
}

/** 3.7 simulations of 5 credits each. */
function dossierOf(): Dossier {
  const usage = [{ attempt: 1, charged: true, meter: 'simulations', quantity: '3.7' }];
  const terms = { rateCardVersion: 1, rates: SIMULATION, dimensions: {} };
  const { rating, payment } = assess(terms, 'completed', usage);
  const draw = (lotId: string, kind: string, text: string) => ({ lotId, kind, amount: text });
  return {
    format: 'holdfast-dossier/1',
    chargeId: idOf('operation', 1000),
    jobId: settledJob,
    service: 'simulation',
    userId: user,
    contractId: contract,
    inputDigest: DIGEST,
    parameters: {},
    quoteId: FIRST.quote,
    terms,
    end: 'completed',
    usage,
    rating: { ...rating, total: formatCredits(rating.total) },
    payment,
    maxCredits: '20',
    reserved: [
      { at: atHour(4), kind: 'reserve', draws: [draw(individualLot, 'individual', '8')] },
      {
        at: atHour(7),
        kind: 'topUp',
        draws: [draw(individualLot, 'individual', '2'), draw(sharedLot, 'shared', '10')],
      },
    ],
    charged: '18.5',
    absorbed: '0',
    draws: [draw(individualLot, 'individual', '10'), draw(sharedLot, 'shared', '8.5')],
    returned: [{ ...draw(sharedLot, 'shared', '1.5'), to: 'available' }],
    bookedAt: atHour(9),
  };
}

function micro(text: string): string {
  return amount(text).toString();
}
