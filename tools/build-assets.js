/** Bundles the compiled workflows for the workers, unless nothing they are made of has changed since. */
const { createHash } = require('node:crypto');
const { existsSync, readdirSync, readFileSync, renameSync, writeFileSync } = require('node:fs');
const { join } = require('node:path');

const dist = join(__dirname, '..', 'dist');
const bundle = join(dist, 'workflow-bundle.js');
const stamp = join(dist, 'workflow-bundle.sha256');

function digestOf(folders) {
  const hash = createHash('sha256').update(readFileSync(join(__dirname, '..', 'package-lock.json')));
  for (const folder of folders) {
    for (const name of readdirSync(join(dist, folder))
      .filter((one) => one.endsWith('.js'))
      .sort()) {
      hash.update(name).update(readFileSync(join(dist, folder, name)));
    }
  }
  return hash.digest('hex');
}

async function main() {
  const digest = digestOf(['workflows', 'domain']);
  if (existsSync(bundle) && existsSync(stamp) && readFileSync(stamp, 'utf8') === digest) return;
  const { bundleWorkflowCode } = require('@temporalio/worker');
  const silent = () => undefined;
  const { code } = await bundleWorkflowCode({
    workflowsPath: join(dist, 'workflows', 'index.js'),
    logger: { log: silent, trace: silent, debug: silent, info: silent, warn: console.warn, error: console.error },
  });
  writeFileSync(`${bundle}.new`, code);
  renameSync(`${bundle}.new`, bundle);
  writeFileSync(stamp, digest);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
