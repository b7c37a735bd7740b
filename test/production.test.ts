/** The containers of production are described beside the embedded servers of development: both must say the same. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DYNAMIC_CONFIG, SEARCH_ATTRIBUTES } from '../dev/temporal';

const read = (path: string) => readFileSync(join(__dirname, '..', path), 'utf8');

test('Temporal in production has the settings of the embedded one', () => {
  const settings = [...read('docker/temporal/dynamic.yaml').matchAll(/^([\w.]+):\n {2}- value: (\S+)$/gm)];
  expect(Object.fromEntries(settings.map(([, name, value]) => [name, value]))).toEqual(DYNAMIC_CONFIG);
});

test('Temporal in production has the search attributes of the embedded one', () => {
  const attributes = /^for attribute in (.+); do$/m.exec(read('docker/temporal/namespace.sh'))?.[1]?.split(' ');
  expect(attributes?.map((attribute) => attribute.split(':'))).toEqual(Object.entries(SEARCH_ATTRIBUTES));
});

test('production runs Temporal at the pinned version', () => {
  const pinned = /go\.temporal\.io\/server v(\S+)/.exec(read('tools/temporal/go.mod'))?.[1];
  const images = [...read('docker-compose.yml').matchAll(/image: temporalio\/(?:server|admin-tools):.*:-([\d.]+)\}/g)];
  expect(images.map(([, version]) => version)).toEqual([pinned, pinned, pinned]);
});

test('every file that a container mounts from here exists', () => {
  const mounted = [...read('docker-compose.yml').matchAll(/- (\.\/\S+?):\//g)].map(([, path]) => path as string);
  expect(mounted).toHaveLength(4);
  for (const path of mounted) expect(read(path)).not.toBe('');
});
