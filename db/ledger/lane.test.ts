import { EventEmitter } from 'node:events';
import type { Pool, PoolClient } from 'pg';
import { SQLSTATE } from '../client';
import { Lane } from './lane';

/** A connection that was asked for. */
interface Connection {
  /** It is there. */
  readonly open: () => void;
  /** It cannot be made. */
  readonly refuse: (error: Error) => void;
  /** What it is given back with: true ends it. */
  readonly released: unknown[];
  /** It is gone. */
  readonly end: () => void;
}

/** A lane whose connections a test opens, and the transactions that were sent, by the number of their connection. */
function laneOf() {
  const connections: Connection[] = [];
  const sent: string[] = [];
  const numbers = new Map<PoolClient, number>();
  const pool = {
    connect: () =>
      new Promise<PoolClient>((resolve, reject) => {
        const released: unknown[] = [];
        const client = Object.assign(new EventEmitter(), { release: (how: unknown) => released.push(how) });
        const given = client as unknown as PoolClient;
        connections.push({
          open: () => resolve(given),
          refuse: reject,
          released,
          end: () => client.emit('end'),
        });
        numbers.set(given, connections.length);
      }),
  };
  const lane = new Lane(pool as unknown as Pool);
  /** Sends a transaction whose answer is given, or never comes. */
  const send = (name: string, answer: Promise<unknown> = new Promise(() => undefined)) =>
    lane.send((client) => {
      sent.push(`${name} on ${numbers.get(client)}`);
      return answer;
    });
  return { lane, connections, sent, send };
}

/** What happened so far has had its effect. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** What pg says of a connection that breaks. */
const LOST = new Error('Connection terminated unexpectedly');

function errorWith(code: string): Error {
  return Object.assign(new Error(`error ${code}`), { code });
}

test('transactions are sent in the order in which they were asked, before and after the connection is there', async () => {
  const { connections, sent, send } = laneOf();
  for (const name of ['a', 'b', 'c']) void send(name);
  await settled();
  expect(sent).toEqual([]);
  connections[0]?.open();
  // It is there, and nobody who waited for it has gone on yet.
  void send('d');
  await settled();
  for (const name of ['e', 'f']) void send(name);
  await settled();
  expect(sent).toEqual(['a on 1', 'b on 1', 'c on 1', 'd on 1', 'e on 1', 'f on 1']);
  expect(connections).toHaveLength(1);
});

test('who sends is answered with what came of the transaction, in whatever order that is known', async () => {
  const { connections, send } = laneOf();
  let answer: (value: string) => void = () => undefined;
  const first = send(
    'first',
    new Promise((resolve) => {
      answer = resolve;
    }),
  );
  const second = send('second', Promise.resolve('the second'));
  connections[0]?.open();
  expect(await second).toBe('the second');
  answer('the first');
  expect(await first).toBe('the first');
});

test.each([
  ['a pool that is not as it was planned with', errorWith('HF008')],
  ['a key that was used', errorWith(SQLSTATE.uniqueViolation)],
  ['an error of the program', new TypeError('something is undefined')],
])('%s fails its transaction alone: the connection is kept', async (_, error) => {
  const { connections, sent, send } = laneOf();
  const failing = send('failing', Promise.reject(error));
  const beside = send('beside', Promise.resolve('done'));
  connections[0]?.open();
  await expect(failing).rejects.toBe(error);
  expect(await beside).toBe('done');
  void send('after');
  await settled();
  expect(sent).toEqual(['failing on 1', 'beside on 1', 'after on 1']);
  expect(connections[0]?.released).toEqual([]);
});

test.each([
  ['breaks', LOST],
  ['is reset', errorWith('ECONNRESET')],
  ['is ended by a server that stops', errorWith('57P01')],
])('a connection that %s is ended once, and the next transaction gets another', async (_, error) => {
  const { connections, sent, send } = laneOf();
  const failing = [send('a', Promise.reject(error)), send('b', Promise.reject(error))];
  connections[0]?.open();
  for (const one of failing) await expect(one).rejects.toBe(error);
  const next = send('c', Promise.resolve('done'));
  connections[1]?.open();
  expect(await next).toBe('done');
  expect(sent).toEqual(['a on 1', 'b on 1', 'c on 2']);
  expect(connections.map(({ released }) => released)).toEqual([[true], []]);
});

test('a transaction that hears late that its connection is lost leaves the next connection alone', async () => {
  const { connections, sent, send } = laneOf();
  let fail: (error: Error) => void = () => undefined;
  const late = send(
    'late',
    new Promise((_, reject) => {
      fail = reject;
    }),
  );
  const first = send('first', Promise.reject(LOST));
  connections[0]?.open();
  await expect(first).rejects.toBe(LOST);
  void send('next');
  connections[1]?.open();
  await settled();
  fail(LOST);
  await expect(late).rejects.toBe(LOST);
  void send('after');
  await settled();
  expect(sent).toEqual(['late on 1', 'first on 1', 'next on 2', 'after on 2']);
  expect(connections.map(({ released }) => released)).toEqual([[true], []]);
});

test('a connection that ends while nothing is asked of it is given back, and the next transaction gets another', async () => {
  const { connections, sent, send } = laneOf();
  void send('a', Promise.resolve());
  connections[0]?.open();
  await settled();
  connections[0]?.end();
  await settled();
  expect(connections[0]?.released).toEqual([true]);
  void send('b');
  connections[1]?.open();
  await settled();
  expect(sent).toEqual(['a on 1', 'b on 2']);
});

test('a server that cannot be reached fails who waits for the connection, and the next transaction asks for another', async () => {
  const { connections, sent, send } = laneOf();
  const waiting = [send('a'), send('b')];
  const error = errorWith('ECONNREFUSED');
  connections[0]?.refuse(error);
  for (const one of waiting) await expect(one).rejects.toBe(error);
  void send('c');
  connections[1]?.open();
  await settled();
  expect(sent).toEqual(['c on 2']);
  expect(connections).toHaveLength(2);
});

test('closing gives the connection back, once, and is nothing where there is none', async () => {
  const { lane, connections, send } = laneOf();
  await lane.close();
  expect(connections).toEqual([]);
  void send('a', Promise.resolve());
  connections[0]?.open();
  await settled();
  await lane.close();
  connections[0]?.end();
  await lane.close();
  expect(connections.map(({ released }) => released)).toEqual([[true]]);
});

test('closing is nothing where the connection could not be made', async () => {
  const { lane, connections, send } = laneOf();
  const failing = send('a');
  const error = errorWith('28P01');
  connections[0]?.refuse(error);
  await expect(failing).rejects.toBe(error);
  await lane.close();
});

test('the end of a connection that was left long ago leaves the next connection alone', async () => {
  const { connections, sent, send } = laneOf();
  const failing = send('a', Promise.reject(errorWith('57P01')));
  connections[0]?.open();
  await expect(failing).rejects.toThrow();
  void send('b');
  connections[1]?.open();
  await settled();
  // The pool ends what is released to it with true; that is heard when the socket has closed.
  connections[0]?.end();
  await settled();
  void send('c');
  connections[2]?.open();
  await settled();
  expect(sent).toEqual(['a on 1', 'b on 2', 'c on 2']);
  expect(connections.map(({ released }) => released)).toEqual([[true], []]);
});

test.each(['EAI_AGAIN', 'EHOSTUNREACH', '28P01'])(
  'a connection that failed with %s is not waited for again',
  async (code) => {
    const { connections, sent, send } = laneOf();
    const failing = send('a');
    connections[0]?.refuse(errorWith(code));
    await expect(failing).rejects.toThrow();
    send('b').catch(() => undefined);
    connections[1]?.open();
    await settled();
    expect(sent).toEqual(['b on 2']);
  },
);
