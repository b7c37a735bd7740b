/** Writes `docs/openapi.json`, the committed copy of what `/openapi.json` answers by default (`npm run openapi`). */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ApiDependencies } from '../api/app';
import { openApiDocument } from '../api/openapi';
import type { Route } from '../api/route';
import { allRoutes } from '../api/routes';
import { readConfig } from '../cli/config';
import { SERVICES } from '../services';
import { packageRoot } from './root';

export const OPENAPI_FILE = join(packageRoot(), 'docs', 'openapi.json');

/** The routes as an installation with default settings has them. Nothing that they need to answer is there. */
export function describedRoutes(): Route[] {
  const { inputBytesMax, heartbeatSeconds, parkedGraceSeconds } = readConfig({});
  const settings = { inputBytesMax, heartbeatSeconds, parkedGraceSeconds, temporalUiUrl: null };
  return allRoutes({ services: SERVICES, settings } as unknown as ApiDependencies);
}

/** The text of the committed copy. */
export function openApiText(): string {
  return `${JSON.stringify(openApiDocument(describedRoutes()), null, 2)}\n`;
}

if (require.main === module) writeFileSync(OPENAPI_FILE, openApiText());
