import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:net';
import { rows } from '../db/client';
import { DEMO } from '../db/seed';
import { binaryScene, NETLIST, netlistWith, scene } from '../test/api/inputs';
import { type Ask, INPUT_BYTES_MAX, startApi, type TestApi } from '../test/api/server';
import { eventually } from '../test/world/eventually';

jest.setTimeout(60_000);

let api: TestApi;
beforeAll(async () => {
  api = await startApi();
});
afterAll(() => api?.close());

const SVG = { 'Content-Type': 'image/svg+xml' };
const BYTES = { 'Content-Type': 'application/octet-stream' };
const SIZE = { width: 64, height: 64 };

const quote = (service: string, input: string, parameters: unknown = {}, extra: object = {}) =>
  api.ask('POST', '/v1/quotes', { json: { service, input, parameters, ...extra } });

const refusedBecause = (reason: string) => ({ status: 422, body: { code: 'input_invalid', reason } });

describe('a file that cannot be run is refused when it is quoted', () => {
  const asScene = { name: 'scene.glb', mediaType: 'model/gltf-binary' };
  const embedded = (uri: string) => scene({ buffers: [{ byteLength: 36, uri }] });
  const gltf = (text: string) => ({ text, ...asScene });

  it.each([
    ['not glTF', gltf('\x7fELF and so on'), 'input_not_gltf'],
    ['a .gltf cut off', gltf(scene().slice(0, 200)), 'input_not_gltf'],
    ['a file beside it', gltf(embedded('../../etc/passwd')), 'input_outside_reference'],
    ['a URL', gltf(embedded('http://169.254.169.254/latest')), 'input_outside_reference'],
    ['an image by URL', gltf(scene({ images: [{ uri: 'file:///etc/passwd' }] })), 'input_outside_reference'],
  ])('as a scene: %s', async (_, { text, ...file }, reason) => {
    expect(await quote('rendering', await api.upload(text, file), SIZE)).toMatchObject(refusedBecause(reason));
  });

  it('as a scene: a .glb cut off at any place', async () => {
    const whole = binaryScene();
    const seen = new Set<string>();
    for (const length of [3, 11, 19, 60, whole.length - 40, whole.length - 1]) {
      const sent = { body: new Uint8Array(whole.subarray(0, length)), headers: BYTES };
      const { body } = await api.ask('POST', '/v1/inputs', sent);
      const answer = await quote('rendering', body.digest, SIZE);
      expect(answer).toMatchObject({ status: 422, body: { code: 'input_invalid' } });
      seen.add(answer.body.reason);
    }
    expect([...seen].sort()).toEqual(['input_not_gltf', 'input_truncated']);
    const sent = { body: new Uint8Array(whole), headers: BYTES };
    const { body } = await api.ask('POST', '/v1/inputs', sent);
    expect((await quote('rendering', body.digest, SIZE)).status).toBe(201);
  });

  it.each([
    ['.include /etc/passwd', 'input_outside_reference'],
    ['.lib "/etc/passwd" all', 'input_outside_reference'],
    ['.tran 1f 1000', 'netlist_endless_analysis'],
    ['.control', 'netlist_control_block'],
    ['* nothing to do', 'netlist_no_analysis'],
  ])('as a netlist: %s', async (card, reason) => {
    const digest = await api.upload(netlistWith(card, ...(reason === 'netlist_no_analysis' ? [] : ['.op'])));
    expect(await quote('simulation', digest)).toMatchObject(refusedBecause(reason));
    expect(
      await api.ask('POST', '/v1/jobs', { json: { service: 'simulation', input: digest, maxCredits: '10' } }),
    ).toMatchObject(refusedBecause(reason));
  });

  it('when it is a netlist sold as a scene, or the other way round', async () => {
    expect(await quote('rendering', await api.upload(NETLIST), SIZE)).toMatchObject(refusedBecause('input_not_gltf'));
    expect((await quote('simulation', await api.upload(scene()))).status).toBe(422);
  });
});

describe('parameters', () => {
  it.each([
    [{ width: 0, height: 64 }, 'parameters.width'],
    [{ width: 64, height: -64 }, 'parameters.height'],
    [{ width: 64, height: 64.5 }, 'parameters.height'],
    [{ width: 1e9, height: 1e9 }, 'parameters.width'],
    [{ width: 8192, height: 8192 }, 'parameters.width'],
    [{ width: '64', height: 64 }, 'parameters.width'],
    [{ width: 64 }, 'parameters.height'],
    [{ ...SIZE, frames: 0 }, 'parameters.frames'],
    [{ ...SIZE, quality: 'perfect' }, 'parameters.quality'],
    [{ ...SIZE, shell: 'rm -rf /' }, 'parameters'],
  ])('%j of a picture are refused by name', async (parameters, field) => {
    const answer = await quote('rendering', await api.upload(scene()), parameters);
    expect(answer).toMatchObject({ status: 400, body: { code: 'invalid_request' } });
    expect(answer.body.errors.map((one: { field: string }) => one.field)).toContain(field);
  });
});

describe('amounts', () => {
  it.each([
    '1e3',
    '-1',
    '0.0000001',
    '1'.repeat(40),
    '9000000000000.000001',
    '01',
    '+1',
    ' 1',
    '1,5',
    '',
    'NaN',
    '1.',
    '.5',
    '٣',
  ])('"%s" is no amount', async (maxCredits) => {
    const input = await api.upload(NETLIST);
    expect(await api.ask('POST', '/v1/jobs', { json: { service: 'simulation', input, maxCredits } })).toMatchObject({
      status: 400,
      body: { code: 'invalid_request' },
    });
    const lot = { kind: 'shared', amount: maxCredits, reason: 'test' };
    expect(await api.ask('POST', `/v1/contracts/${DEMO.contract}/lots`, { as: 'provider', json: lot })).toMatchObject({
      status: 400,
      body: { code: 'invalid_request', errors: [{ field: 'body.amount' }] },
    });
  });

  it('are strings: a JSON number is refused', async () => {
    const lot = { kind: 'shared', amount: 5, reason: 'test' };
    const path = `/v1/contracts/${DEMO.contract}/lots`;
    expect(await api.ask('POST', path, { as: 'provider', json: lot })).toMatchObject({ status: 400 });
  });

  it('of zero make no lot, and neither does a life that is over', async () => {
    const path = `/v1/contracts/${DEMO.contract}/lots`;
    const before = await api.ask('GET', path, { as: 'provider' });
    const refused = { status: 422, body: { code: 'lot_invalid' } };
    for (const json of [
      { kind: 'shared', amount: '0', reason: 'nothing' },
      { kind: 'shared', amount: '1', reason: 'bought long ago', purchasedAt: '2020-01-01T00:00:00Z' },
      { kind: 'shared', amount: '1', reason: 'bought tomorrow', purchasedAt: '2999-01-01T00:00:00Z' },
      { kind: 'courtesy', amount: '1', reason: 'over already', expiresAt: '2020-01-01T00:00:00Z' },
    ]) {
      expect(await api.ask('POST', path, { as: 'provider', json })).toMatchObject(refused);
    }
    const json = { amount: '0', reason: 'nothing' };
    expect(await api.ask('POST', `/v1/users/${DEMO.people.submitter.id}/lots`, { as: 'provider', json })).toMatchObject(
      refused,
    );
    expect((await api.ask('GET', path, { as: 'provider' })).body).toEqual(before.body);
  });

  it.each(['+012026-01-01T00:00:00Z', '-000001-01-01T00:00:00Z', '2026-01-01', 'tomorrow'])(
    '%s is no instant that a lot can start or end at',
    async (instant) => {
      const path = `/v1/contracts/${DEMO.contract}/lots`;
      const shared = { kind: 'shared', amount: '1', reason: 'when?', purchasedAt: instant };
      const courtesy = { kind: 'courtesy', amount: '1', reason: 'when?', expiresAt: instant };
      for (const json of [shared, courtesy]) {
        expect(await api.ask('POST', path, { as: 'provider', json })).toMatchObject({ status: 400 });
      }
    },
  );
});

describe('a request that is not understood', () => {
  const invalid = { status: 400, body: { code: 'invalid_request' } };
  const json = { 'Content-Type': 'application/json' };
  const post = (ask: Ask) => api.ask('POST', '/v1/quotes', ask);

  it('is refused for fields that nobody knows', async () => {
    const answer = await quote('simulation', await api.upload(NETLIST), {}, { discount: '100%' });
    expect(answer).toMatchObject(invalid);
    expect(answer.body.detail).toContain('discount');
    expect(await api.ask('GET', '/v1/jobs?sort=price')).toMatchObject(invalid);
    expect(await api.ask('POST', '/v1/inputs?path=/etc', { body: NETLIST, headers: BYTES })).toMatchObject(invalid);
  });

  it('is refused for both a quote and terms of its own', async () => {
    const input = await api.upload(NETLIST);
    const both = { quoteId: DEMO.contract, service: 'simulation', input, maxCredits: '5' };
    expect(await api.ask('POST', '/v1/jobs', { json: both })).toMatchObject(invalid);
    expect(await api.ask('POST', '/v1/jobs', { json: { ...both, quoteId: undefined, expected: '6' } })).toMatchObject(
      invalid,
    );
  });

  it.each(['{"service":', 'null', '"a string"', '[]', '{"service":"a"}x', '', '\u0000'])(
    'is refused as JSON: %j',
    async (body) => {
      expect(await post({ body, headers: json })).toMatchObject(invalid);
    },
  );

  it.each([
    ['nested thousands deep', `{"service":"simulation","parameters":{"a":${'['.repeat(50_000)}${']'.repeat(50_000)}}}`],
    ['holding a NUL, which Postgres cannot keep', '{"service":"simulation","parameters":{"plots":["\\u0000"]}}'],
    ['holding half a character', '{"service":"simulation","parameters":{"plots":["\\ud800"]}}'],
    ['with a NUL in a name', '{"service":"simulation","parameters":{"\\u0000":1}}'],
  ])('is refused %s', async (_, body) => {
    const input = await api.upload(NETLIST);
    const whole = body.replace('"service"', `"input":"${input}","service"`);
    expect(await post({ body: whole, headers: json })).toMatchObject(invalid);
  });

  it('is refused for a NUL in a comment', async () => {
    const input = await api.upload(NETLIST);
    const job = { service: 'simulation', input, maxCredits: '5', comment: 'a\0b' };
    expect(await api.ask('POST', '/v1/jobs', { json: job })).toMatchObject(invalid);
  });

  it('is refused for another content type, charset or encoding', async () => {
    const unsupported = { status: 415, body: { code: 'unsupported_media_type' } };
    const body = '{}';
    expect(await post({ body, headers: { 'Content-Type': 'text/plain' } })).toMatchObject(unsupported);
    expect(await post({ body, headers: { 'Content-Type': 'application/json; charset=klingon' } })).toMatchObject(
      unsupported,
    );
    expect(await post({ body, headers: { ...json, 'Content-Encoding': 'lzma' } })).toMatchObject(unsupported);
    expect(await post({ body, headers: { ...json, 'Content-Encoding': 'gzip' } })).toMatchObject(unsupported);
    expect(await api.ask('POST', '/v1/inputs', { body: NETLIST, headers: SVG })).toMatchObject(unsupported);
  });

  it('is refused over 256 KiB', async () => {
    const body = JSON.stringify({ service: 'x'.repeat(256 * 1024) });
    expect(await post({ body, headers: json })).toMatchObject({ status: 413, body: { code: 'body_too_large' } });
  });

  it('is refused for an id, digest, cursor or page length that is none', async () => {
    for (const path of [
      '/v1/jobs/1',
      "/v1/jobs/'%20or%201=1--",
      '/v1/inputs/md5:abc',
      '/v1/jobs?limit=0',
      '/v1/jobs?limit=201',
      '/v1/jobs?limit=',
      '/v1/jobs?limit=1&limit=2',
      '/v1/jobs?cursor=next',
      '/v1/jobs?state=lost',
      '/v1/rate-cards/one',
    ]) {
      expect(await api.ask('GET', path)).toMatchObject(invalid);
    }
  });

  it('is refused for a path that is not encoded correctly', async () => {
    const [answer] = await raw('GET /v1/jobs/%ff HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
    expect(answer).toMatch(/^HTTP\/1.1 400 .*"code":"invalid_request"/s);
  });
});

describe('a path or method that is not there', () => {
  it('answers 404 with a problem for an unknown path, whoever asks', async () => {
    for (const as of ['submitter', null] as const) {
      expect(await api.ask('GET', '/v1/wallets', { as })).toMatchObject({ status: 404, body: { code: 'not_found' } });
    }
  });

  it.each([
    ['DELETE', '/v1/jobs', 'POST, GET, HEAD'],
    ['PUT', '/v1/quotes', 'POST'],
    ['PATCH', `/v1/jobs/${DEMO.contract}`, 'GET, HEAD'],
    ['GET', '/v1/inputs', 'POST'],
    ['OPTIONS', '/v1/me', 'GET, HEAD'],
  ])('answers 405 to %s %s with what is allowed', async (method, path, allowed) => {
    const answer = await api.ask(method, path);
    expect(answer).toMatchObject({ status: 405, body: { code: 'method_not_allowed' } });
    expect(answer.headers.get('allow')).toBe(allowed);
  });

  it('answers HEAD like GET without a body, and 405 where there is no GET', async () => {
    const head = await api.ask('HEAD', '/v1/me');
    expect(head).toMatchObject({ status: 200, body: '' });
    expect((await api.ask('HEAD', '/v1/quotes')).status).toBe(405);
  });
});

describe('an upload', () => {
  /** Counts what is there, so that an upload can be seen to leave nothing. */
  async function everything() {
    const uploads = await rows(api.db, 'select digest, user_id from input_uploads order by 1, 2');
    return { files: (await api.storedFiles()).sort(), uploads };
  }

  /** Zeros for as long as somebody takes them. */
  function zeros(bytes: number) {
    const chunk = new Uint8Array(64 * 1024);
    let sent = 0;
    const stream = new ReadableStream({
      pull(controller) {
        if (sent >= bytes) return controller.close();
        sent += chunk.length;
        controller.enqueue(chunk);
      },
    });
    return { stream, sent: () => sent };
  }

  const tooLarge = { status: 413, body: { code: 'input_too_large', bytesMax: INPUT_BYTES_MAX } };

  it('of 2 GB of zeros without a length is refused as soon as the limit is passed, and nothing of it is kept', async () => {
    const before = await everything();
    const { stream, sent } = zeros(2 ** 31);
    const answer = await api.ask('POST', '/v1/inputs', { body: stream, headers: BYTES });
    expect(answer).toMatchObject(tooLarge);
    expect(sent()).toBeLessThan(2 ** 28);
    expect(await everything()).toEqual(before);
  });

  it('that says it has 2 GB is refused before it is read', async () => {
    const before = await everything();
    const [answer] = await raw(upload(`Content-Length: ${2 ** 31}`));
    expect(answer).toMatch(/^HTTP\/1.1 413 .*"code":"input_too_large"/s);
    expect(await everything()).toEqual(before);
  });

  it('may have exactly as many bytes as are allowed, and not one more', async () => {
    const whole = randomBytes(INPUT_BYTES_MAX + 1);
    const send = (bytes: number) =>
      api.ask('POST', '/v1/inputs', { body: new Uint8Array(whole.subarray(0, bytes)), headers: BYTES });
    expect(await send(INPUT_BYTES_MAX)).toMatchObject({ status: 201, body: { size: INPUT_BYTES_MAX } });
    expect(await send(INPUT_BYTES_MAX + 1)).toMatchObject(tooLarge);
  });

  it('of nothing is refused', async () => {
    const answer = await api.ask('POST', '/v1/inputs', { body: '', headers: BYTES });
    expect([415, 422]).toContain(answer.status);
  });

  it.each(['../../etc/passwd', 'a/b', 'a\\b', 'a\nb', '', 'x'.repeat(201)])('cannot be named %j', async (name) => {
    const query = new URLSearchParams({ name });
    expect(await api.ask('POST', `/v1/inputs?${query}`, { body: NETLIST, headers: BYTES })).toMatchObject({
      status: 400,
    });
  });

  it('of the same contents twice is one file, and the first name stays', async () => {
    const contents = netlistWith('.op', '* twice');
    const before = await everything();
    const first = await api.ask('POST', '/v1/inputs?name=a.cir', { body: contents, headers: BYTES });
    const second = await api.ask('POST', '/v1/inputs?name=b.cir', { body: contents, headers: BYTES });
    expect(second).toMatchObject({ status: 201, body: first.body });
    const after = await everything();
    expect(after.files).toHaveLength(before.files.length + 1);
    expect(after.uploads).toHaveLength(before.uploads.length + 1);
    expect((await api.ask('GET', first.headers.get('location') ?? '')).body).toEqual(first.body);
  });

  it('that its sender breaks off leaves nothing', async () => {
    const before = await everything();
    const socket = connect({ host: '127.0.0.1', port: Number(new URL(api.url).port) });
    await once(socket, 'connect');
    socket.write(`${upload('Content-Length: 1000000')}${'x'.repeat(500_000)}`);
    await eventually('the half-written file', async () => (await api.storedFiles()).length > before.files.length);
    socket.destroy();
    await eventually('nothing of it', async () => (await api.storedFiles()).length === before.files.length);
    expect(await everything()).toEqual(before);
  });

  function upload(header: string): string {
    const key = api.keys.submitter?.key;
    return `POST /v1/inputs HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${key}\r\nContent-Type: application/octet-stream\r\n${header}\r\n\r\n`;
  }
});

/** Says some bytes to the API and gives what it answered first. */
async function raw(request: string): Promise<string[]> {
  const socket = connect({ host: '127.0.0.1', port: Number(new URL(api.url).port) });
  try {
    socket.write(request);
    const [answer] = (await once(socket, 'data')) as [Buffer];
    return [answer.toString()];
  } finally {
    socket.destroy();
  }
}
