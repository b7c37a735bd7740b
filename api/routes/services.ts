import { z } from 'zod';
import { findRateCardInForce } from '../../db/rateCards';
import type { RateCard } from '../../domain/rateCard';
import type { Service } from '../../services/service';
import type { ApiDependencies } from '../app';
import { notFound } from '../problems';
import { type Route, route } from '../route';
import * as schemas from '../schemas';

const nameParams = z.strictObject({ name: z.string().max(60) });

export function serviceRoutes({ db, services }: ApiDependencies): Route[] {
  return [
    route({
      method: 'get',
      path: '/v1/services',
      tag: 'Services',
      summary: 'What can be bought, with the rates in force',
      answers: { 200: { description: 'All services.', schema: schemas.pageOf(schemas.service, 'ServicePage') } },
      refusals: [],
      handle: async ({ at }) => {
        const card = await findRateCardInForce(db, at);
        return {
          status: 200,
          body: { items: [...services.values()].map((one) => viewOf(one, card)), nextCursor: null },
        };
      },
    }),
    route({
      method: 'get',
      path: '/v1/services/:name',
      tag: 'Services',
      summary: 'One service: inputs, parameters, meters, rates',
      params: nameParams,
      answers: { 200: { description: 'The service.', schema: schemas.service } },
      refusals: ['not_found'],
      handle: async ({ params, at }) => {
        const one = services.get(params.name);
        if (!one) throw notFound('service');
        return { status: 200, body: viewOf(one, await findRateCardInForce(db, at)) };
      },
    }),
  ];
}

function viewOf(service: Service, card: RateCard | undefined) {
  const { name, title, description, accepts, inputBytesMax, meters } = service;
  const { $schema: _schema, ...parameters } = z.toJSONSchema(service.parameters, {
    io: 'input',
    unrepresentable: 'any',
  });
  const rates = card?.services.find((one) => one.service === name) ?? null;
  return { name, title, description, accepts, inputBytesMax, meters, parameters, rates };
}
