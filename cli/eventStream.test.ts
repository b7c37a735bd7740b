import { readEvents, type ServerEvent } from './eventStream';

const bytes = (text: string) => new TextEncoder().encode(text);

async function read(...chunks: Uint8Array[]): Promise<ServerEvent[]> {
  const events: ServerEvent[] = [];
  const source = (async function* () {
    yield* chunks;
  })();
  for await (const event of readEvents(source)) events.push(event);
  return events;
}

const STREAM =
  ': hello\n\nid: 7\nevent: reserved\ndata: {"message":"Größe ✓"}\n\nevent: progress\r\ndata: a\r\ndata: b\r\n\r\nevent: end\rdata:c\r\r';
const EVENTS: ServerEvent[] = [
  { id: '7', event: 'reserved', data: '{"message":"Größe ✓"}' },
  { id: '7', event: 'progress', data: 'a\nb' },
  { id: '7', event: 'end', data: 'c' },
];

test('events are the same wherever the stream is cut in two, inside characters and line ends too', async () => {
  const whole = bytes(STREAM);
  for (let at = 0; at <= whole.length; at++) {
    expect(await read(whole.subarray(0, at), whole.subarray(at))).toEqual(EVENTS);
  }
});

test('events are the same when the stream comes byte by byte', async () => {
  const whole = bytes(STREAM);
  expect(await read(...[...whole].map((byte) => Uint8Array.of(byte)))).toEqual(EVENTS);
});

test('an event that the end of the stream cuts off is not delivered', async () => {
  expect(await read(bytes('event: end\ndata: {"half'))).toEqual([]);
  expect(await read(bytes('event: end\ndata: whole\n'))).toEqual([]);
});

test('comments, unknown fields and events without data are passed over', async () => {
  expect(await read(bytes(': still here\n\nretry: 10\n\nevent: nothing\n\ndata\n\n'))).toEqual([
    { id: '', event: 'message', data: '' },
  ]);
});
