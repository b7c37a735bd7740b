import { createServer } from 'node:net';

export interface ReservedPort {
  readonly port: number;
  /** Gives the port to the program that is about to listen on it. */
  release(): Promise<void>;
}

/** Whether nobody listens on this port of this host. */
export async function isPortFree(port: number, host = '127.0.0.1'): Promise<boolean> {
  const reserved = await listen(port, host);
  await reserved?.release();
  return reserved !== undefined;
}

/** The first of the wanted ports that is free, else one the system picks. */
export async function chooseFreePort(wanted: readonly number[], host = '127.0.0.1'): Promise<number> {
  const reserved = await reservePort(wanted, host);
  await reserved.release();
  return reserved.port;
}

/**
 * As `chooseFreePort`, but the port is listened on until it is released: two starts at the same moment choose different
 * ports even though it takes seconds until their servers use them.
 *
 * @throws Error when the system has no port to give.
 */
export async function reservePort(wanted: readonly number[], host = '127.0.0.1'): Promise<ReservedPort> {
  for (const port of [...wanted, 0]) {
    const reserved = await listen(port, host);
    if (reserved) return reserved;
  }
  throw new Error(`no port of ${host} can be listened on`);
}

function listen(port: number, host: string): Promise<ReservedPort | undefined> {
  return new Promise((resolve) => {
    const server = createServer((socket) => socket.destroy());
    server.once('error', () => resolve(undefined));
    server.listen({ port, host, exclusive: true }, () => {
      const address = server.address();
      let released: Promise<void> | undefined;
      resolve({
        port: typeof address === 'object' && address !== null ? address.port : port,
        release: () => {
          released ??= new Promise((done) => server.close(() => done()));
          return released;
        },
      });
    });
  });
}
