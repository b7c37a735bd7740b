import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../../dev/root';

/** The workflows as the workers get them. @throws Error with a sentence when they were not built. */
export function bundlePath(): string {
  const path = process.env.HOLDFAST_TEST_WORKFLOW_BUNDLE ?? join(packageRoot(), 'dist', 'workflow-bundle.js');
  if (!existsSync(path)) throw new Error(`${path} is not there; run "npm run build" first`);
  return path;
}
