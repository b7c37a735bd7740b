/** A real SMTP server on this machine that takes mail, or misbehaves as a test says. */
import type { Socket } from 'node:net';
import { type AddressObject, type ParsedMail, simpleParser } from 'mailparser';
import { SMTPServer } from 'smtp-server';

export interface TestMailServer {
  readonly url: string;
  readonly port: number;
  /** What was taken, in order. */
  readonly mails: ParsedMail[];
  /** How it behaves from now on. */
  behave(behaviour: Partial<Behaviour>): void;
  close(): Promise<void>;
}

interface Behaviour {
  /** What our sender is answered; null takes it. */
  readonly sender: Refusal | null;
  /** What a recipient is answered; null takes it. */
  readonly recipient: (address: string) => Refusal | null;
  /** What is answered to the message; `'drop'` ends the connection after it was read, `'silence'` never answers. */
  readonly message: Refusal | 'drop' | 'silence' | null;
}

interface Refusal {
  readonly code: number;
  readonly text: string;
}

const WILLING: Behaviour = { sender: null, recipient: () => null, message: null };

/** Starts a server, on a free port unless one is given. */
export async function startMailServer(port = 0): Promise<TestMailServer> {
  const mails: ParsedMail[] = [];
  let behaviour = WILLING;
  const sockets = new Set<Socket>();
  const server = new SMTPServer({
    authOptional: true,
    disabledCommands: ['AUTH', 'STARTTLS'],
    closeTimeout: 50,
    onMailFrom: (_address, _session, done) => done(errorOf(behaviour.sender)),
    onRcptTo: ({ address }, _session, done) => done(errorOf(behaviour.recipient(address))),
    onData: (stream, _session, done) => {
      const { message } = behaviour;
      simpleParser(stream).then(
        (mail) => {
          if (message === 'silence') return;
          if (message === 'drop') for (const socket of sockets) socket.destroy();
          else {
            if (message === null) mails.push(mail);
            done(errorOf(message));
          }
        },
        (error: Error) => done(error),
      );
    },
  });
  server.on('error', () => {});
  server.server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => {
    server.listen(port, '127.0.0.1', () => resolve());
  });
  const address = server.server.address();
  if (address === null || typeof address === 'string') throw new Error('the mail server has no port');
  return {
    url: `smtp://127.0.0.1:${address.port}`,
    port: address.port,
    mails,
    behave: (wanted) => {
      behaviour = { ...WILLING, ...wanted };
    },
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
}

/** To whom a mail says that it goes. */
export function recipientsOf({ to }: ParsedMail): string[] {
  const addresses: readonly AddressObject[] = to === undefined ? [] : Array.isArray(to) ? to : [to];
  return addresses.flatMap(({ value }) => value.map(({ address }) => address ?? ''));
}

function errorOf(refusal: Refusal | null): Error | null {
  return refusal && Object.assign(new Error(refusal.text), { responseCode: refusal.code });
}
