/** A TCP proxy in front of a server, to take the server away from those who go through it, and give it back. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

export interface ServerProxy {
  /** The server's URL with the proxy's host and port. */
  readonly url: string;
  /** Breaks every connection and refuses new ones. */
  cut(): Promise<void>;
  restore(): Promise<void>;
  /**
   * Lets the next message with some text in it through to the server, and breaks its connection instead of giving back
   * the answer: the sender cannot know whether it was done.
   *
   * @returns a promise that settles when that has happened.
   */
  loseAnswerTo(text: string): Promise<void>;
  close(): Promise<void>;
}

/** Starts a proxy in front of the server that a URL names. */
export async function startProxy(upstreamUrl: string): Promise<ServerProxy> {
  const upstream = new URL(upstreamUrl);
  const sockets = new Set<Socket>();
  let trap: { text: string; sprung: () => void } | undefined;

  const server = createServer((client) => {
    const target = connect({ host: upstream.hostname, port: Number(upstream.port) });
    const both = [client, target];
    const end = () => {
      for (const socket of both) socket.destroy();
    };
    let swallowed: (() => void) | undefined;
    for (const socket of both) {
      sockets.add(socket);
      socket.on('error', end);
      socket.on('close', () => {
        sockets.delete(socket);
        end();
      });
    }
    client.on('data', (chunk) => {
      if (trap && chunk.includes(trap.text)) {
        swallowed = trap.sprung;
        trap = undefined;
      }
      target.write(chunk);
    });
    target.on('data', (chunk) => {
      if (!swallowed) {
        client.write(chunk);
        return;
      }
      end();
      swallowed();
    });
  });

  await listen(server, 0);
  const { port } = server.address() as AddressInfo;
  const cut = async () => {
    const closed = server.listening ? once(server, 'close') : undefined;
    if (server.listening) server.close();
    for (const socket of sockets) socket.destroy();
    await closed;
  };
  return {
    url: Object.assign(new URL(upstreamUrl), { host: `127.0.0.1:${port}` }).toString(),
    cut,
    restore: () => listen(server, port),
    loseAnswerTo: (text) =>
      new Promise((resolve) => {
        trap = { text, sprung: resolve };
      }),
    close: cut,
  };
}

async function listen(server: Server, port: number): Promise<void> {
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
}
