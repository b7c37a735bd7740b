import { factsOf } from '../../db/contractBooking';
import { findVisibleContract } from '../../db/people';
import { type CalendarEntry, calendarOf } from '../../domain/contractCalendar';
import { contractPhase } from '../../domain/contractPhase';
import { formatCredits } from '../../domain/credits';
import type { ApiDependencies } from '../app';
import { notFound } from '../problems';
import { type Route, route } from '../route';
import * as schemas from '../schemas';

export function calendarRoutes({ db }: ApiDependencies): Route[] {
  return [
    route({
      method: 'get',
      path: '/v1/contracts/:id/calendar',
      tag: 'People and contracts',
      summary: 'What will happen to a contract and its lots, when, and why',
      description:
        'Made by the same code that the contract’s workflow follows, from what is known now. Of a contract that renews itself what follows from its renewals is listed, too. Amounts are what is available now, or will be granted. What is overdue comes first.',
      params: schemas.idParams,
      answers: { 200: { description: 'The calendar, in order.', schema: schemas.calendar } },
      refusals: ['not_found'],
      handle: async ({ person, params, at }) => {
        const found = await findVisibleContract(db, person, params.id);
        if (!found) throw notFound('contract');
        const facts = await factsOf(db, found.id);
        const phase = contractPhase(facts.contract, at);
        return { status: 200, body: { contractId: found.id, at, phase, items: calendarOf(facts).map(entryView) } };
      },
    }),
  ];
}

function entryView({ key, act, at, bookedAt, lotIds, credits, because, of }: CalendarEntry) {
  return { key, act, at, bookedAt, lotIds, credits: formatCredits(credits), because, remindsOf: of };
}
