/** A wire to Postgres that lets through so many messages of one side and is cut then, wherever in a batch that may be. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

export type Side = 'client' | 'server';

export interface CutWire {
  /** The address of the database through this wire. */
  readonly url: string;
  /** Every connection is cut when so many further messages of a side have come through, and new ones are let through. */
  cutAfter(side: Side, messages: number): void;
  /** Cuts nothing any more. @returns whether something was cut. */
  calm(): boolean;
  close(): Promise<void>;
}

/** Opens a wire that is not cut until it is told to. */
export async function openCutWire(url: string): Promise<CutWire> {
  const target = new URL(url);
  const sockets = new Set<Socket>();
  let cutting: { readonly side: Side; left: number } | undefined;
  let wasCut = false;

  /** Destroys everything, after what was passed on has left. */
  const cut = (last: Socket) => {
    cutting = undefined;
    wasCut = true;
    last.write('', () => {
      for (const socket of sockets) socket.destroy();
    });
  };
  const pass = (side: Side, from: Socket, to: Socket) => {
    const messages = new Messages(side === 'client');
    let isCut = false;
    from.on('data', (chunk: Buffer) => {
      for (const message of messages.of(chunk)) {
        if (isCut) return;
        if (cutting?.side === side && cutting.left === 0) {
          isCut = true;
          cut(to);
          return;
        }
        if (cutting?.side === side) cutting.left -= 1;
        to.write(message);
      }
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
    pass('client', client, database);
    pass('server', database, client);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    url: Object.assign(new URL(url), { host: `127.0.0.1:${port}` }).toString(),
    cutAfter(side, messages) {
      cutting = { side, left: messages };
      wasCut = false;
    },
    calm() {
      cutting = undefined;
      return wasCut;
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

/** Takes what one side says apart: a letter and a length before each message, and only a length before a client's first. */
class Messages {
  private rest: Buffer = Buffer.alloc(0);

  constructor(private untyped: boolean) {}

  *of(chunk: Buffer): Generator<Buffer> {
    this.rest = Buffer.concat([this.rest, chunk]);
    for (;;) {
      const head = this.untyped ? 0 : 1;
      if (this.rest.length < head + 4) return;
      const length = head + this.rest.readInt32BE(head);
      if (this.rest.length < length) return;
      const message = this.rest.subarray(0, length);
      this.rest = this.rest.subarray(length);
      this.untyped = false;
      yield message;
    }
  }
}
