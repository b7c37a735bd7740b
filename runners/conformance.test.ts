/** The runners of this machine in the one suite, and the table of all runners in the documentation. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createEmbeddedRunner } from './embedded';
import { createSandboxRunner } from './sandbox';
import { type Capability, LACKS } from './testing/behaviour';
import { BEHAVIOURS, describeRunner } from './testing/conformance';
import { compiledHost, notHere, walls } from './testing/machine';

describeRunner('embedded', {
  create: createEmbeddedRunner,
  host: [compiledHost, 'embedded'],
  lacks: LACKS.embedded ?? [],
  notHere,
});
describeRunner('sandbox', {
  missing: walls ? undefined : 'bubblewrap does not work here',
  create: createSandboxRunner,
  host: [compiledHost, 'sandbox'],
});

it('the table of docs/runners.md is what is tried here', () => {
  const claims = (name: string, needs?: Capability) => (needs && LACKS[name]?.includes(needs) ? '—' : 'yes');
  const row = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  const names = Object.keys(LACKS);
  const rows = Object.values(BEHAVIOURS).flatMap((group) =>
    group.map(({ title, needs }) => row([title, ...names.map((name) => claims(name, needs))])),
  );
  const docs = readFileSync(join(__dirname, '..', 'docs', 'runners.md'), 'utf8').split('\n');
  const written = docs.filter((line) => /^\| .* (yes|—) +\|$/.test(line));
  // Columns are padded in the document so that it reads as a table there, too.
  expect(written.map((line) => line.replace(/ +/g, ' '))).toEqual(rows);
});
