import type { z } from 'zod';
import { listTransfers, type RecordedTransfer, type TransferPlace, type TransfersOf } from '../../db/transfers';
import { formatCredits } from '../../domain/credits';
import type { ApiDependencies } from '../app';
import { type Route, route } from '../route';
import * as schemas from '../schemas';

export function transferRoutes({ db }: ApiDependencies): Route[] {
  return [
    route({
      method: 'get',
      path: '/v1/ledger/transfers',
      tag: 'Ledger',
      summary: 'The transfers of the ledger, newest first',
      description:
        'Of a lot, of a job with its refunds, of the lots of a contract or a user, or of everything. A page may hold fewer transfers than asked for, even none, and still have a nextCursor: go on until it is null.',
      roles: ['finance', 'finance-approver', 'provider'],
      query: schemas.transfersQuery,
      answers: { 200: { description: 'A page.', schema: schemas.pageOf(schemas.transfer, 'TransferPage') } },
      refusals: [],
      handle: async ({ query }) => {
        const before = query.cursor === undefined ? null : placeOf(query.cursor);
        const { transfers, next } = await listTransfers(db, askedIn(query), { before, limit: query.limit });
        return { status: 200, body: { items: transfers.map(transferView), nextCursor: next && cursorOf(next) } };
      },
    }),
  ];
}

function askedIn({ lot, job, contract, user }: z.output<typeof schemas.transfersQuery>): TransfersOf {
  if (lot !== undefined) return { lot };
  if (job !== undefined) return { job };
  const pool = contract ?? user;
  return pool === undefined ? null : { pool };
}

function cursorOf({ place, operation, transfer }: TransferPlace): string {
  return `${place}.${operation}.${transfer}`;
}

const PLACE_MAX = 2n ** 63n - 1n;

function placeOf(cursor: string): TransferPlace {
  const [place = '0', operation = '0', transfer = '0'] = cursor.split('.');
  const wanted = BigInt(place);
  return {
    place: wanted > PLACE_MAX ? PLACE_MAX : wanted,
    operation: Number(operation),
    transfer: Number(transfer),
  };
}

function transferView(transfer: RecordedTransfer) {
  const { kind, subject, act, jobId, lotId, from, to, bookedAt, recordedAt, actor, reason } = transfer;
  return {
    batchId: transfer.batchId.toString(),
    kind,
    subject,
    act,
    jobId,
    lotId,
    from,
    to,
    amount: formatCredits(transfer.amount),
    bookedAt,
    recordedAt,
    actor: actor === 'job' && jobId !== null ? `job/${jobId}` : actor,
    reason,
  };
}
