/**
 * `npm run check`: everything about this repository that can be said without running the product, in seconds. The parts
 * run side by side, each says one line, and what a part found is printed beneath it.
 */
const { spawn } = require('node:child_process');
const { join } = require('node:path');
const { availableParallelism } = require('node:os');

const ROOT = join(__dirname, '..');
const node = (...args) => [process.execPath, ...args];
const local = (...path) => join(ROOT, 'node_modules', ...path);

/** The longest first. A part with `after` needs what another has made. */
const PARTS = [
  // Compiles for real: the generated files are compared by compiled code.
  { name: 'types', command: node(local('typescript', 'bin', 'tsc'), '-p', 'tsconfig.json') },
  {
    name: 'lint and format',
    command: node(local('@biomejs', 'biome', 'bin', 'biome'), 'check', '--error-on-warnings'),
  },
  { name: 'walls', command: node(local('jest', 'bin', 'jest.js'), '--silent', 'test/walls') },
  { name: 'sources', command: node(join(__dirname, 'check-sources.js')) },
  { name: 'documents', command: node(join(__dirname, 'check-docs.js')) },
  { name: 'generated files', after: 'types', command: node(join(__dirname, 'check-generated.js')) },
];

async function main() {
  const from = performance.now();
  const outcomes = new Map();
  const waiting = [...PARTS];
  const work = async () => {
    for (;;) {
      const index = waiting.findIndex(({ after }) => after === undefined || outcomes.has(after));
      const [part] = index >= 0 ? waiting.splice(index, 1) : [];
      if (!part) return;
      outcomes.set(part.name, await run(part));
      report(part.name, outcomes.get(part.name));
    }
  };
  // What waits for another part is started by whoever finishes that part.
  await Promise.all(Array.from({ length: Math.max(2, availableParallelism()) }, work));
  const failed = [...outcomes].filter(([, { ok }]) => !ok).map(([name]) => name);
  const took = ((performance.now() - from) / 1000).toFixed(1);
  console.log(failed.length === 0 ? `all checks pass, ${took} s` : `failed: ${failed.join(', ')}, ${took} s`);
  process.exitCode = failed.length === 0 ? 0 : 1;
}

function run({ command }) {
  const from = performance.now();
  return new Promise((resolve) => {
    let said = '';
    const done = (ok) => resolve({ ok, said, seconds: (performance.now() - from) / 1000 });
    const child = spawn(command[0], command.slice(1), { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (chunk) => {
        said += chunk;
      });
    }
    child.once('error', (error) => {
      said += error.message;
      done(false);
    });
    child.once('close', (code) => done(code === 0));
  });
}

function report(name, { ok, said, seconds }) {
  console.log(`${ok ? 'ok  ' : 'FAIL'} ${name.padEnd(20)} ${seconds.toFixed(1).padStart(5)} s`);
  if (!ok) console.log(said.trimEnd().replace(/^/gm, '     '));
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
