import type { Letter } from './channel';
import { createMailChannel, type MailChannel } from './mail';
import { recipientsOf, startMailServer, type TestMailServer } from './testing/mailServer';

const NOTICE_ID = '01890a5d-ac96-774b-bcce-b302099a8057';
const FROM = 'Holdfast <notices@provider.example>';
const TIMEOUT_MS = 400;

let server: TestMailServer;
let channel: MailChannel;

beforeEach(async () => {
  server = await startMailServer();
  channel = createMailChannel({ url: server.url, from: FROM, timeoutMs: TIMEOUT_MS });
});
afterEach(async () => {
  channel.close();
  await server.close();
});

function letter(more: { email?: string; name?: string; unsubscribeUrl?: string; subject?: string } = {}): Letter {
  const {
    email = 'sana@aurora.example',
    name = 'Sana Rahimi',
    unsubscribeUrl = null,
    subject = 'Bescheid: 12,5 Credits',
  } = more;
  const message = { subject, text: 'Guten Tag,\n', html: '<p>Guten Tag,</p>' };
  return { noticeId: NOTICE_ID, unsubscribeUrl, addressed: [{ userId: 'u', name, email, language: 'de', message }] };
}

it('mail that the server takes is delivered, with its answer and under the message id that was told before', async () => {
  const { recipients, messageId } = channel.identify(letter());
  expect({ recipients, messageId }).toEqual({
    recipients: ['sana@aurora.example'],
    messageId: `<notice.${NOTICE_ID}@provider.example>`,
  });
  expect(await channel.send(letter())).toEqual({ kind: 'delivered', answer: expect.stringMatching(/^250 /) });
  const [mail] = server.mails;
  expect(mail).toMatchObject({ messageId, subject: 'Bescheid: 12,5 Credits', text: 'Guten Tag,\n' });
  expect(mail?.html).toContain('<p>Guten Tag,</p>');
  expect(mail && recipientsOf(mail)).toEqual(['sana@aurora.example']);
  expect(mail?.headers.get('auto-submitted')).toBe('auto-generated');
  expect(mail?.headers.has('list')).toBe(false);
});

it('a repeat is the same mail by its message id', async () => {
  await channel.send(letter());
  await channel.send(letter());
  expect(new Set(server.mails.map(({ messageId }) => messageId)).size).toBe(1);
});

it('what may be ended says how, in the headers that mail programs look for', async () => {
  const url = `https://holdfast.example/v1/unsubscribe/${'x'.repeat(60)}`;
  await channel.send(letter({ unsubscribeUrl: url }));
  const lines = server.mails[0]?.headerLines.map(({ line }) => line) ?? [];
  expect(lines).toContain(`List-Unsubscribe: <${url}>`);
  expect(lines).toContain('List-Unsubscribe-Post: List-Unsubscribe=One-Click');
});

it.each([
  [
    'a recipient that is refused',
    { recipient: () => ({ code: 550, text: 'no such user' }) },
    'failed',
    /^550 .*no such user/,
  ],
  [
    'a message that is refused',
    { message: { code: 554, text: 'looks like spam' } },
    'failed',
    /^554 .*looks like spam/,
  ],
  [
    'a recipient to try later',
    { recipient: () => ({ code: 451, text: 'greylisted' }) },
    'deferred',
    /^451 .*greylisted/,
  ],
  ['a message to try later', { message: { code: 452, text: 'disk full' } }, 'deferred', /^452 .*disk full/],
  [
    'a connection that breaks after the message',
    { message: 'drop' },
    'deferred',
    /closed|ECONNRESET|ECONNECTION|ESOCKET/i,
  ],
  ['a server that never answers', { message: 'silence' }, 'deferred', /no answer within|timeout/i],
] as const)('%s is told from the others', async (_, behaviour, kind, answer) => {
  server.behave(behaviour);
  expect(await channel.send(letter())).toEqual({ kind, answer: expect.stringMatching(answer) });
  expect(server.mails).toEqual([]);
});

it('a server that is down puts mail off, and mail goes out when it is back', async () => {
  const { port } = server;
  await server.close();
  expect(await channel.send(letter())).toEqual({
    kind: 'deferred',
    answer: expect.stringMatching(/ECONNREFUSED|ECONNECTION/),
  });
  server = await startMailServer(port);
  expect(await channel.send(letter())).toMatchObject({ kind: 'delivered' });
});

it.each(['', 'nobody', 'a b@c', 'a@b, c@d', 'a@b\r\nBcc: c@d', '<a@b>', 'a@'])(
  'what is no address fails at once and reaches no server: %j',
  async (email) => {
    expect(await channel.send(letter({ email }))).toMatchObject({
      kind: 'failed',
      answer: expect.stringContaining('no mail address'),
    });
    expect(server.mails).toEqual([]);
  },
);

it('a name or a subject cannot bring a header or a recipient with it', async () => {
  const name = 'Sana" <evil@else.example>\r\nBcc: evil@else.example';
  expect(await channel.send(letter({ name, subject: 'Hello\r\nBcc: evil@else.example' }))).toMatchObject({
    kind: 'delivered',
  });
  const [mail] = server.mails;
  expect(mail?.headers.has('bcc')).toBe(false);
  expect(mail && recipientsOf(mail)).toEqual(['sana@aurora.example']);
});
