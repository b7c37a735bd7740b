import { parseCredits } from '../domain/credits';
import { ConfigError, environmentOf, publicUrl, readConfig } from './config';

const refusal = (env: Record<string, string>): string => {
  try {
    readConfig(env, '/srv');
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError);
    return (error as ConfigError).message;
  }
  throw new Error(`nothing was refused in ${JSON.stringify(env)}`);
};

test('an empty environment gives the embedded defaults', () => {
  expect(readConfig({}, '/srv')).toEqual({
    databaseUrl: undefined,
    temporalAddress: undefined,
    temporalNamespace: 'default',
    temporalUiUrl: undefined,
    port: 8080,
    portIsExplicit: false,
    host: '127.0.0.1',
    home: '/srv/.holdfast',
    objects: { kind: 'folder', folder: '/srv/.holdfast/objects' },
    inputBytesMax: 268_435_456,
    heartbeatSeconds: 10,
    parkedGraceSeconds: 86_400,
    reconcileAfterSeconds: 120,
    refundApprovalAbove: parseCredits('1000'),
    mail: undefined,
    noticeChannels: ['administrator', 'in-service'],
    noticeContact: undefined,
    publicUrl: undefined,
    servicesFolder: undefined,
    runners: undefined,
    slurm: {},
    logLevel: 'info',
  });
});

test('a set port is a wish, an empty variable is none', () => {
  expect(readConfig({ PORT: '8080' }, '/srv').portIsExplicit).toBe(true);
  expect(readConfig({ PORT: '', DATABASE_URL: '' }, '/srv')).toMatchObject({ port: 8080, portIsExplicit: false });
});

test.each([
  ['PORT', '1e3'],
  ['PORT', '0'],
  ['PORT', '65536'],
  ['PORT', ' 80'],
  ['PORT', '-1'],
  ['DATABASE_URL', 'mysql://localhost/x'],
  ['DATABASE_URL', 'localhost'],
  ['TEMPORAL_ADDRESS', 'localhost'],
  ['TEMPORAL_ADDRESS', 'http://localhost:7233'],
  ['TEMPORAL_ADDRESS', 'localhost:99999'],
  ['TEMPORAL_NAMESPACE', 'a b'],
  ['TEMPORAL_UI_URL', 'ftp://host/'],
  ['HOLDFAST_HOST', 'a/b'],
  ['HOLDFAST_OBJECTS', 'gs://bucket'],
  ['HOLDFAST_RUNNERS', 'embedded,cloud'],
  ['HOLDFAST_SLURM_PARTITION', 'a b'],
  ['HOLDFAST_RUNNERS', 'embedded,embedded'],
  ['HOLDFAST_INPUT_BYTES_MAX', '0'],
  ['HOLDFAST_INPUT_BYTES_MAX', '9007199254740993'],
  ['HOLDFAST_HEARTBEAT_SECONDS', '0.5'],
  ['HOLDFAST_PARKED_GRACE_SECONDS', 'a day'],
  ['HOLDFAST_RECONCILE_AFTER_SECONDS', '0'],
  ['HOLDFAST_REFUND_APPROVAL_ABOVE', '1e3'],
  ['HOLDFAST_REFUND_APPROVAL_ABOVE', '-1'],
  ['HOLDFAST_NOTICE_CHANNELS', 'post'],
  ['HOLDFAST_NOTICE_CHANNELS', 'in-service,in-service'],
  ['HOLDFAST_NOTICE_CHANNELS', 'mail,in-service'],
  ['HOLDFAST_NOTICE_CONTACT', 'a\nb'],
  ['HOLDFAST_PUBLIC_URL', 'holdfast.example'],
  ['HOLDFAST_PUBLIC_URL', 'https://user:secret@holdfast.example'],
  ['HOLDFAST_LOG_LEVEL', 'loud'],
])('%s=%j is refused with one sentence that names the variable', (name, value) => {
  const message = refusal({ [name]: value });
  expect(message).toMatch(new RegExp(`^${name} must be .+\\.$`));
  expect(message).not.toContain('\n');
});

const BUCKET = { HOLDFAST_OBJECTS: 's3://bucket/some/prefix', AWS_REGION: 'eu-central-1' };

test('objects are in a folder, or in a bucket under a prefix', () => {
  const objects = (env: Record<string, string>) => readConfig(env, '/srv').objects;
  expect(objects({ HOLDFAST_OBJECTS: 'files' })).toEqual({ kind: 'folder', folder: '/srv/files' });
  expect(objects({ AWS_REGION: 'not for us' })).toEqual({ kind: 'folder', folder: '/srv/.holdfast/objects' });
  expect(objects(BUCKET)).toEqual({
    kind: 's3',
    bucket: 'bucket',
    prefix: 'some/prefix',
    endpoint: undefined,
    region: 'eu-central-1',
    cacheFolder: '/srv/.holdfast/object-copies',
  });
  const own = { HOLDFAST_OBJECTS: 's3://bucket/', HOLDFAST_S3_ENDPOINT: 'http://localhost:9000' };
  expect(objects(own)).toMatchObject({ prefix: '', endpoint: 'http://localhost:9000', region: 'us-east-1' });
});

test.each([
  ['HOLDFAST_OBJECTS', 's3:/bucket'],
  ['HOLDFAST_OBJECTS', 's3://'],
  ['HOLDFAST_OBJECTS', 's3://Bucket'],
  ['HOLDFAST_OBJECTS', 's3://bucket//prefix'],
  ['HOLDFAST_OBJECTS', 's3://bucket/../prefix'],
  ['HOLDFAST_OBJECTS', 's3://bucket/prefix?x'],
  ['HOLDFAST_S3_ENDPOINT', 'localhost:9000'],
  ['HOLDFAST_S3_ENDPOINT', 'http://user:secret@localhost:9000'],
  ['HOLDFAST_S3_ENDPOINT', 'http://localhost:9000/?x'],
  ['AWS_REGION', ''],
  ['AWS_REGION', 'evil.example/'],
])('beside a bucket %s=%j is refused with one sentence', (name, value) => {
  expect(refusal({ ...BUCKET, [name]: value })).toMatch(new RegExp(`^${name} must be [^\\n]+\\.$`));
});

test('the address of a server for a bucket is refused when objects are in a folder', () => {
  expect(refusal({ HOLDFAST_S3_ENDPOINT: 'http://localhost:9000' })).toMatch(/^HOLDFAST_S3_ENDPOINT must be absent /);
});

const MAIL = { HOLDFAST_SMTP_URL: 'smtps://u:p@mail.example', HOLDFAST_MAIL_FROM: 'Holdfast <notices@example.org>' };

test('a mail server makes mail the first channel, unless somebody chose others', () => {
  expect(readConfig(MAIL)).toMatchObject({
    mail: { url: MAIL.HOLDFAST_SMTP_URL, from: MAIL.HOLDFAST_MAIL_FROM },
    noticeChannels: ['mail', 'administrator', 'in-service'],
  });
  const chosen = readConfig({ ...MAIL, HOLDFAST_NOTICE_CHANNELS: 'in-service,mail' });
  expect(chosen.noticeChannels).toEqual(['in-service', 'mail']);
});

test.each(['', 'Holdfast', 'a@b c@d', 'Holdfast <a@b>, c@d', 'a@b\r\nBcc: c@d'])(
  'beside a mail server the sender %j is refused with one sentence',
  (from) => {
    expect(refusal({ ...MAIL, HOLDFAST_MAIL_FROM: from })).toMatch(/^HOLDFAST_MAIL_FROM must be [^\n]+\.$/);
  },
);

test.each(['mail.example:25', 'http://mail.example', 'smtp://mail.example/?x'])(
  'the mail server %j is refused with one sentence',
  (url) => {
    expect(refusal({ ...MAIL, HOLDFAST_SMTP_URL: url })).toMatch(/^HOLDFAST_SMTP_URL must be [^\n]+\.$/);
  },
);

test('links in mails lead to what was set, else to this machine', () => {
  expect(publicUrl(readConfig({ HOLDFAST_PUBLIC_URL: 'https://holdfast.example/' }))).toBe('https://holdfast.example');
  expect(publicUrl(readConfig({ HOLDFAST_HOST: '::', PORT: '9000' }))).toBe('http://127.0.0.1:9000');
  expect(publicUrl(readConfig({ HOLDFAST_HOST: '::1' }))).toBe('http://[::1]:8080');
});

test('every wrong variable is named at once', () => {
  expect(refusal({ PORT: 'x', HOLDFAST_LOG_LEVEL: 'y' }).split('\n')).toHaveLength(2);
});

test.each([
  { HOLDFAST_SMTP_URL: 'imap://user:secret@host/', HOLDFAST_MAIL_FROM: 'a@b' },
  { DATABASE_URL: 'http://user:secret@host/' },
  { HOLDFAST_S3_ENDPOINT: 'http://user:secret@host/' },
])('the refused address of a server is not repeated, since it holds a password: %j', (env) => {
  expect(refusal(env)).not.toContain('secret');
});

test('a child process reads the same configuration from the variables of its parent', () => {
  const config = readConfig(
    { PORT: '9000', HOLDFAST_HOME: 'h', DATABASE_URL: 'postgres://u:p@h/d', TEMPORAL_ADDRESS: '[::1]:7233' },
    '/srv',
  );
  expect(readConfig(environmentOf(config), '/elsewhere')).toEqual(config);
  const withMail = readConfig(
    { ...MAIL, HOLDFAST_NOTICE_CONTACT: 'us', HOLDFAST_PUBLIC_URL: 'https://x', PORT: '9000' },
    '/srv',
  );
  expect(readConfig(environmentOf(withMail), '/elsewhere')).toEqual(withMail);
  const inBucket = readConfig({ ...BUCKET, PORT: '9000', HOLDFAST_S3_ENDPOINT: 'https://store.example' }, '/srv');
  expect(readConfig(environmentOf(inBucket), '/elsewhere')).toEqual(inBucket);
});
