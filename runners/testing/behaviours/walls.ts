/** What a stranger's file cannot reach, whatever it makes of the engine that reads it. */

import { once } from 'node:events';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { DONE, EXIT } from '../bed';
import type { Behaviour } from '../behaviour';

export const walls: readonly Behaviour[] = [
  {
    title: 'reaches no network, not even this machine',
    needs: 'walls',
    async verify(bed) {
      const server = createServer((socket) => socket.destroy()).listen(0, '127.0.0.1');
      await once(server, 'listening');
      const { port } = server.address() as AddressInfo;
      const end = await bed.ended([{ do: 'reach', port }, DONE, EXIT]);
      server.close();
      expect(end).toMatchObject({ kind: 'completed', counters: { connected: 0 } });
    },
  },
  {
    title: 'reads nothing of the machine, of another attempt or of the worker',
    needs: 'walls',
    async verify(bed) {
      const beside = join(bed.workFolder, 'attempt-beside');
      mkdirSync(beside);
      writeFileSync(join(beside, 'input'), 'a secret');
      const reads = [
        '/etc/passwd',
        '/etc/hostname',
        join(beside, 'input'),
        join(bed.workFolder, 'stored-input'),
        `/proc/${process.pid}/environ`,
        `/proc/1/root${beside}/input`,
      ];
      const end = await bed.ended([{ do: 'reach', reads, port: 9 }, DONE, EXIT]);
      expect(end).toMatchObject({ kind: 'completed', counters: { read: 0 } });
    },
  },
  {
    title: 'writes nothing outside its folder',
    needs: 'walls',
    async verify(bed) {
      const outside = join(bed.workFolder, 'written');
      const engine = join(bed.place.enginesFolder, 'scripted', 'written');
      const writes = [outside, engine, '/usr/written', `/proc/1/root${outside}`];
      const end = await bed.ended([{ do: 'reach', writes, port: 9 }, DONE, EXIT]);
      expect(end).toMatchObject({ kind: 'completed', counters: { written: 0 } });
      expect([outside, engine].filter((path) => existsSync(path))).toEqual([]);
    },
  },
  {
    title: 'keeps nothing in memory that only looks like a disk',
    needs: 'walls',
    async verify(bed) {
      const spec = bed.spec([
        { do: 'reach', writes: ['/written', '/dev/written', '/dev/shm/written'], port: 9 },
        DONE,
        EXIT,
      ]);
      expect(await (await bed.startSpec(spec)).end).toMatchObject({ kind: 'completed', counters: { written: 0 } });
      // There is a place for passing files, which counts as the folder does.
      const fill = { do: 'fill', folder: '/tmp/deep', files: 80, text: 'x', times: 2 ** 20 };
      const end = await bed.ended([fill, { do: 'wait' }]);
      expect(end.message).toBe('The engine filled its folder with more than 64 MiB.');
    },
  },
];
