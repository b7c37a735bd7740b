import { parseCredits } from '../domain/credits';
import { ConfigError, environmentOf, readConfig } from './config';

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
  ['HOLDFAST_INPUT_BYTES_MAX', '0'],
  ['HOLDFAST_INPUT_BYTES_MAX', '9007199254740993'],
  ['HOLDFAST_HEARTBEAT_SECONDS', '0.5'],
  ['HOLDFAST_PARKED_GRACE_SECONDS', 'a day'],
  ['HOLDFAST_RECONCILE_AFTER_SECONDS', '0'],
  ['HOLDFAST_REFUND_APPROVAL_ABOVE', '1e3'],
  ['HOLDFAST_REFUND_APPROVAL_ABOVE', '-1'],
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

test('every wrong variable is named at once', () => {
  expect(refusal({ PORT: 'x', HOLDFAST_LOG_LEVEL: 'y' }).split('\n')).toHaveLength(2);
});

test.each([{ DATABASE_URL: 'http://user:secret@host/' }, { HOLDFAST_S3_ENDPOINT: 'http://user:secret@host/' }])(
  'the refused address of a server is not repeated, since it holds a password: %j',
  (env) => {
    expect(refusal(env)).not.toContain('secret');
  },
);

test('a child process reads the same configuration from the variables of its parent', () => {
  const config = readConfig(
    { PORT: '9000', HOLDFAST_HOME: 'h', DATABASE_URL: 'postgres://u:p@h/d', TEMPORAL_ADDRESS: '[::1]:7233' },
    '/srv',
  );
  expect(readConfig(environmentOf(config), '/elsewhere')).toEqual(config);
  const inBucket = readConfig({ ...BUCKET, PORT: '9000', HOLDFAST_S3_ENDPOINT: 'https://store.example' }, '/srv');
  expect(readConfig(environmentOf(inBucket), '/elsewhere')).toEqual(inBucket);
});
