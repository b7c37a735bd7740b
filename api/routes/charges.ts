import { type Charge, findVisibleCharge, listVisibleCharges } from '../../db/charges';
import type { Person } from '../../db/people';
import type { ApiDependencies } from '../app';
import { chargeView, chargeViews } from '../chargeView';
import { notFound } from '../problems';
import { type Route, route } from '../route';
import * as schemas from '../schemas';

export function chargeRoutes({ db }: ApiDependencies): Route[] {
  async function visibleCharge(person: Person, id: string): Promise<Charge> {
    const charge = await findVisibleCharge(db, person, id);
    if (!charge) throw notFound('charge');
    return charge;
  }

  return [
    route({
      method: 'get',
      path: '/v1/charges',
      tag: 'Charges',
      summary: 'Charges that you may see, newest first',
      query: schemas.pageQuery,
      answers: { 200: { description: 'A page.', schema: schemas.pageOf(schemas.charge, 'ChargePage') } },
      refusals: [],
      handle: async ({ person, query: { limit, cursor = null } }) => {
        const charges = await listVisibleCharges(db, person, { before: cursor, limit: limit + 1 });
        const items = await chargeViews(db, charges.slice(0, limit), person);
        return { status: 200, body: { items, nextCursor: charges.length > limit ? (items.at(-1)?.id ?? null) : null } };
      },
    }),
    route({
      method: 'get',
      path: '/v1/charges/:id',
      tag: 'Charges',
      summary: 'A charge, with what was refunded of it',
      params: schemas.idParams,
      answers: { 200: { description: 'The charge.', schema: schemas.charge } },
      refusals: ['not_found'],
      handle: async ({ person, params }) => ({
        status: 200,
        body: await chargeView(db, await visibleCharge(person, params.id), person),
      }),
    }),
    route({
      method: 'get',
      path: '/v1/charges/:id/dossier',
      tag: 'Charges',
      summary: 'Everything needed to recompute a charge offline',
      params: schemas.idParams,
      answers: { 200: { description: 'The dossier.', schema: schemas.dossier } },
      refusals: ['not_found'],
      handle: async ({ person, params }) => ({ status: 200, body: (await visibleCharge(person, params.id)).dossier }),
    }),
  ];
}
