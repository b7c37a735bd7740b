import { ping } from '../../db/client';
import type { ApiDependencies } from '../app';
import { type Route, route } from '../route';
import * as schemas from '../schemas';

export function healthRoutes({ db, workflows }: ApiDependencies): Route[] {
  return [
    route({
      method: 'get',
      path: '/health/live',
      tag: 'Health',
      summary: 'Whether this process answers',
      roles: 'anyone',
      answers: { 200: { description: 'It does.', schema: schemas.health } },
      refusals: [],
      handle: async () => ({ status: 200, body: { ready: true, parts: {} } }),
    }),
    route({
      method: 'get',
      path: '/health/ready',
      tag: 'Health',
      summary: 'Whether everything a job needs answers',
      roles: 'anyone',
      answers: {
        200: { description: 'Ready.', schema: schemas.health },
        503: { description: 'Not ready; the parts that are not say why.', schema: schemas.health },
      },
      refusals: [],
      handle: async () => {
        const parts = await workflows.notReady();
        try {
          await ping(db);
        } catch (error) {
          parts.database = error instanceof Error ? error.message : String(error);
        }
        const ready = Object.keys(parts).length === 0;
        return { status: ready ? 200 : 503, body: { ready, parts } };
      },
    }),
  ];
}
