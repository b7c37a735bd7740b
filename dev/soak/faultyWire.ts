/**
 * A wire to Postgres that breaks: it passes on what both sides say, and now and then only the beginning of it before it cuts
 * the connection. So a batch is lost before any of its statements, between two of them, or after its commit, with the answer.
 */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import type { Chance } from '../chaos/chance';

export interface FaultyWire {
  /** The address of the database through this wire. */
  readonly url: string;
  /** From now on one of so many chunks is cut; `null` for none. */
  break(oneIn: number | null): void;
  close(): Promise<void>;
}

/** Opens a wire to a database. It does not break until it is told to, and tells when it does. */
export async function openFaultyWire(url: string, chance: Chance, onCut: () => void): Promise<FaultyWire> {
  const target = new URL(url);
  const sockets = new Set<Socket>();
  let oneIn: number | null = null;

  const pass = (from: Socket, to: Socket) => {
    from.on('data', (chunk) => {
      if (oneIn === null || chance.between(1, oneIn) > 1) {
        to.write(chunk);
        return;
      }
      onCut();
      from.removeAllListeners('data');
      to.write(chunk.subarray(0, chance.between(0, chunk.length)), () => {
        from.destroy();
        to.destroy();
      });
    });
    from.on('error', () => to.destroy());
    from.on('close', () => {
      sockets.delete(from);
      to.destroy();
    });
    sockets.add(from);
  };

  const server = createServer({ noDelay: true }, (client) => {
    const database = connect({ host: target.hostname, port: Number(target.port), noDelay: true });
    pass(client, database);
    pass(database, client);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    url: Object.assign(new URL(url), { host: `127.0.0.1:${port}` }).toString(),
    break(asked) {
      oneIn = asked;
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
