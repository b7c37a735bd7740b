/**
 * The configuration: read from the environment once, at the start of a process, and passed on as a value. A wrong value
 * stops the process with a sentence that names the variable; nothing is silently replaced by a default.
 */
import { resolve } from 'node:path';
import { z } from 'zod';
import type { ObjectPlace } from '../db/objectStore';
import { type Credits, formatCredits, parseCredits } from '../domain/credits';
import { CHANNELS, type ChannelName } from '../domain/notices';
import { RUNNERS, type RunnerName } from '../domain/route';

export interface Config {
  /** Somebody's Postgres; undefined means the embedded one. */
  readonly databaseUrl: string | undefined;
  /** The same Postgres as the owner of the schema, for migrations; undefined where `databaseUrl` is the owner's. */
  readonly databaseOwnerUrl: string | undefined;
  /** Somebody's Temporal as `host:port`; undefined means the embedded one. */
  readonly temporalAddress: string | undefined;
  readonly temporalNamespace: string;
  /** Where people look at workflows; undefined when nobody said and the embedded one does not run. */
  readonly temporalUiUrl: string | undefined;
  readonly port: number;
  /** Whether somebody asked for exactly this port; the default may be exchanged for a free one, a wish may not. */
  readonly portIsExplicit: boolean;
  readonly host: string;
  /** Absolute path of the folder that keeps everything of this installation. */
  readonly home: string;
  /** Where inputs and results are kept. */
  readonly objects: ObjectPlace;
  readonly inputBytesMax: number;
  readonly heartbeatSeconds: number;
  readonly parkedGraceSeconds: number;
  /** How old a job without a living workflow is before the reconciler releases it. */
  readonly reconcileAfterSeconds: number;
  /** What may be given back of a charge without a second person (R15). */
  readonly refundApprovalAbove: Credits;
  /** The server that takes our mail, and the sender; undefined sends none. */
  readonly mail: { readonly url: string; readonly from: string } | undefined;
  /** The channels of notices, in the order in which they are tried. */
  readonly noticeChannels: readonly ChannelName[];
  /** Who answers questions about notices; undefined when nobody was named. */
  readonly noticeContact: string | undefined;
  /** Where people reach the API from elsewhere; see {@link publicUrl}. */
  readonly publicUrl: string | undefined;
  /** A folder of services that are sold beside ours; undefined where there are none. */
  readonly servicesFolder: string | undefined;
  /** The runners that a compute worker offers; undefined means all that it can. */
  readonly runners: readonly RunnerName[] | undefined;
  /** Where jobs of Slurm go, where that is not the cluster’s own choice. */
  readonly slurm: { readonly partition?: string; readonly account?: string };
  readonly logLevel: LogLevel;
}

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Expected refusal of a configuration; the message is for people and names every wrong variable. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

/**
 * Reads the configuration. An empty variable counts as absent, as in compose files and shells.
 *
 * @throws ConfigError with one sentence for each wrong variable.
 */
export function readConfig(env: NodeJS.ProcessEnv = process.env, workingDirectory = process.cwd()): Config {
  const present = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined && value !== ''));
  const parsed = environment.safeParse(present);
  if (!parsed.success) {
    const sentences = parsed.error.issues.map((issue) => {
      const name = String(issue.path[0]);
      // Addresses of servers carry passwords, and refusals end in logs.
      const secret = ['DATABASE_URL', 'DATABASE_OWNER_URL', 'HOLDFAST_S3_ENDPOINT', 'HOLDFAST_SMTP_URL'].includes(name);
      const given = secret || present[name] === undefined ? '' : `, not ${JSON.stringify(present[name])}`;
      return `${name} must be ${issue.message}${given}.`;
    });
    throw new ConfigError(sentences.join('\n'));
  }
  const settings = parsed.data;
  const home = resolve(workingDirectory, settings.HOLDFAST_HOME);
  return {
    databaseUrl: settings.DATABASE_URL,
    databaseOwnerUrl: settings.DATABASE_OWNER_URL,
    temporalAddress: settings.TEMPORAL_ADDRESS,
    temporalNamespace: settings.TEMPORAL_NAMESPACE,
    temporalUiUrl: settings.TEMPORAL_UI_URL,
    port: settings.PORT ?? DEFAULT_PORT,
    portIsExplicit: settings.PORT !== undefined,
    host: settings.HOLDFAST_HOST,
    home,
    objects: objectPlace(settings, home, workingDirectory),
    inputBytesMax: settings.HOLDFAST_INPUT_BYTES_MAX,
    heartbeatSeconds: settings.HOLDFAST_HEARTBEAT_SECONDS,
    parkedGraceSeconds: settings.HOLDFAST_PARKED_GRACE_SECONDS,
    reconcileAfterSeconds: settings.HOLDFAST_RECONCILE_AFTER_SECONDS,
    refundApprovalAbove: settings.HOLDFAST_REFUND_APPROVAL_ABOVE,
    mail: mailOf(settings),
    noticeChannels: channelsOf(settings),
    noticeContact: settings.HOLDFAST_NOTICE_CONTACT,
    publicUrl: settings.HOLDFAST_PUBLIC_URL?.replace(/\/+$/, ''),
    servicesFolder:
      settings.HOLDFAST_SERVICES === undefined ? undefined : resolve(workingDirectory, settings.HOLDFAST_SERVICES),
    slurm: {
      ...(settings.HOLDFAST_SLURM_PARTITION !== undefined && { partition: settings.HOLDFAST_SLURM_PARTITION }),
      ...(settings.HOLDFAST_SLURM_ACCOUNT !== undefined && { account: settings.HOLDFAST_SLURM_ACCOUNT }),
    },
    runners: settings.HOLDFAST_RUNNERS?.split(',') as RunnerName[] | undefined,
    logLevel: settings.HOLDFAST_LOG_LEVEL,
  };
}

/**
 * The variables that make a child process read this same configuration. Absent values are not written, so that a child
 * started beside embedded servers still sees what the launcher adds.
 */
export function environmentOf(config: Config): Record<string, string> {
  const values: Record<string, string | undefined> = {
    DATABASE_URL: config.databaseUrl,
    DATABASE_OWNER_URL: config.databaseOwnerUrl,
    TEMPORAL_ADDRESS: config.temporalAddress,
    TEMPORAL_NAMESPACE: config.temporalNamespace,
    TEMPORAL_UI_URL: config.temporalUiUrl,
    PORT: String(config.port),
    HOLDFAST_HOST: config.host,
    HOLDFAST_HOME: config.home,
    ...objectVariables(config.objects),
    HOLDFAST_INPUT_BYTES_MAX: String(config.inputBytesMax),
    HOLDFAST_HEARTBEAT_SECONDS: String(config.heartbeatSeconds),
    HOLDFAST_PARKED_GRACE_SECONDS: String(config.parkedGraceSeconds),
    HOLDFAST_RECONCILE_AFTER_SECONDS: String(config.reconcileAfterSeconds),
    HOLDFAST_REFUND_APPROVAL_ABOVE: formatCredits(config.refundApprovalAbove),
    HOLDFAST_SMTP_URL: config.mail?.url,
    HOLDFAST_MAIL_FROM: config.mail?.from,
    HOLDFAST_NOTICE_CHANNELS: config.noticeChannels.join(','),
    HOLDFAST_NOTICE_CONTACT: config.noticeContact,
    HOLDFAST_PUBLIC_URL: config.publicUrl,
    HOLDFAST_SERVICES: config.servicesFolder,
    HOLDFAST_RUNNERS: config.runners?.join(','),
    HOLDFAST_SLURM_PARTITION: config.slurm.partition,
    HOLDFAST_SLURM_ACCOUNT: config.slurm.account,
    HOLDFAST_LOG_LEVEL: config.logLevel,
  };
  return Object.fromEntries(
    Object.entries(values).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
}

/** @throws ConfigError when nobody said which database: only "holdfast up" brings its own. */
export function databaseUrl({ databaseUrl: url }: Config): string {
  if (url === undefined)
    throw new ConfigError('DATABASE_URL must be set for this command; "holdfast up" sets it itself.');
  return url;
}

/** @throws ConfigError when nobody said which Temporal: only "holdfast up" brings its own. */
export function temporalAddress({ temporalAddress: address }: Config): string {
  if (address === undefined) {
    throw new ConfigError('TEMPORAL_ADDRESS must be set for this command; "holdfast up" sets it itself.');
  }
  return address;
}

/** Where links in mails lead: what was set, else this machine's own address. */
export function publicUrl({ publicUrl: url, host, port }: Config): string {
  if (url !== undefined) return url;
  const reachable = ['0.0.0.0', '::'].includes(host) ? '127.0.0.1' : host;
  return `http://${reachable.includes(':') ? `[${reachable}]` : reachable}:${port}`;
}

const DEFAULT_PORT = 8080;
const MEBIBYTE = 1024 * 1024;
/** A bucket and a prefix of characters that need no encoding anywhere, with or without a slash at the end. */
const BUCKET = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:\/((?:[\w-][\w.-]*\/)*[\w-][\w.-]*))?\/?$/;
/** Ten years: longer waits are a mistake in the seconds. */
const SECONDS_MAX = 10 * 366 * 86_400;

const postgresUrl = z
  .string()
  .refine(isPostgresUrl, 'a PostgreSQL address such as postgres://user:password@host:5432/database')
  .optional();

const slurmName = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, 'a name of letters, digits, dots, dashes and underscores');

const variables = z.object({
  DATABASE_URL: postgresUrl,
  DATABASE_OWNER_URL: postgresUrl,
  TEMPORAL_ADDRESS: z.string().refine(isHostAndPort, 'a host and a port such as 127.0.0.1:7233').optional(),
  TEMPORAL_NAMESPACE: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,254}$/, 'a namespace name of letters, digits, dots, dashes and underscores')
    .default('default'),
  TEMPORAL_UI_URL: z.string().refine(isWebUrl, 'an http or https address').optional(),
  PORT: integer({ min: 1, max: 65_535, what: 'a port' }).optional(),
  HOLDFAST_HOST: z
    .string()
    .regex(/^[A-Za-z0-9.:-]+$/, 'a host name or an IP address')
    .default('127.0.0.1'),
  HOLDFAST_HOME: z.string().default('.holdfast'),
  HOLDFAST_OBJECTS: z
    .string()
    .refine(isFolderOrBucket, 'a folder, or a bucket and what its keys begin with, such as s3://bucket/prefix')
    .optional(),
  // Looked at only where they count: a machine may have a region for other programs.
  HOLDFAST_S3_ENDPOINT: z.string().optional(),
  AWS_REGION: z.string().optional(),
  HOLDFAST_INPUT_BYTES_MAX: integer({ min: 1, max: Number.MAX_SAFE_INTEGER, what: 'a number of bytes' }).default(
    256 * MEBIBYTE,
  ),
  HOLDFAST_HEARTBEAT_SECONDS: integer({ min: 1, max: 3600, what: 'a number of seconds' }).default(10),
  HOLDFAST_PARKED_GRACE_SECONDS: integer({ min: 0, max: SECONDS_MAX, what: 'a number of seconds' }).default(86_400),
  HOLDFAST_RECONCILE_AFTER_SECONDS: integer({ min: 1, max: SECONDS_MAX, what: 'a number of seconds' }).default(120),
  HOLDFAST_REFUND_APPROVAL_ABOVE: z
    .string()
    .refine(isAmount, 'an amount of credits such as 1000 or 2.5')
    .default('1000')
    .transform(parseCredits),
  HOLDFAST_SMTP_URL: z
    .string()
    .refine(isMailServer, 'a mail server such as smtp://user:password@host:587 or smtps://host')
    .optional(),
  // Looked at only beside a mail server.
  HOLDFAST_MAIL_FROM: z.string().optional(),
  HOLDFAST_NOTICE_CHANNELS: z
    .string()
    .refine(isChannels, `some of ${CHANNELS.join(', ')}, each once, in the order in which they are tried`)
    .optional(),
  HOLDFAST_NOTICE_CONTACT: z
    .string()
    .regex(/^[^\p{C}]{1,200}$/u, 'up to 200 visible characters')
    .optional(),
  HOLDFAST_PUBLIC_URL: z
    .string()
    .refine(isServerAddress, 'an http or https address without user, password and query')
    .optional(),
  HOLDFAST_SERVICES: z.string().optional(),
  HOLDFAST_RUNNERS: z
    .string()
    .refine(isRunners, `some of ${RUNNERS.join(', ')}, each once`)
    .optional(),
  HOLDFAST_SLURM_PARTITION: slurmName.optional(),
  HOLDFAST_SLURM_ACCOUNT: slurmName.optional(),
  HOLDFAST_LOG_LEVEL: z.enum(LOG_LEVELS, { error: `one of ${LOG_LEVELS.join(', ')}` }).default('info'),
});

type Settings = z.infer<typeof variables>;

/** What variables must be in the light of others. */
const environment = variables.superRefine((settings, context) => {
  const { HOLDFAST_S3_ENDPOINT: endpoint, AWS_REGION: region } = settings;
  const refuse = (name: keyof Settings, message: string) => context.addIssue({ code: 'custom', path: [name], message });
  if (settings.HOLDFAST_SMTP_URL !== undefined) {
    if (!SENDER.test(settings.HOLDFAST_MAIL_FROM ?? '')) {
      refuse('HOLDFAST_MAIL_FROM', 'the sender of our mails, such as Holdfast <notices@example.org>');
    }
  } else if (settings.HOLDFAST_NOTICE_CHANNELS?.split(',').includes('mail')) {
    refuse('HOLDFAST_NOTICE_CHANNELS', 'without mail unless HOLDFAST_SMTP_URL is set');
  }
  if (!settings.HOLDFAST_OBJECTS?.startsWith('s3:')) {
    if (endpoint !== undefined) refuse('HOLDFAST_S3_ENDPOINT', 'absent unless HOLDFAST_OBJECTS is a bucket');
    return;
  }
  if (endpoint !== undefined && !isServerAddress(endpoint)) {
    refuse('HOLDFAST_S3_ENDPOINT', 'an http or https address without user, password and query');
  }
  if (region === undefined && endpoint === undefined) {
    refuse('AWS_REGION', 'the region of the bucket, such as eu-central-1');
  } else if (region !== undefined && !/^[A-Za-z0-9-]+$/.test(region)) {
    refuse('AWS_REGION', 'a region such as eu-central-1');
  }
});

/** One address, alone or after a name; the domain is a part of every message id. */
const SENDER = /^(?:[^<>"\p{C}]*<[^\s<>"@,\p{C}]+@[A-Za-z0-9.-]+>|[^\s<>"@,\p{C}]+@[A-Za-z0-9.-]+)$/u;

function mailOf({ HOLDFAST_SMTP_URL: url, HOLDFAST_MAIL_FROM: from }: Settings): Config['mail'] {
  return url === undefined || from === undefined ? undefined : { url, from };
}

/** All that can be, unless somebody chose. */
function channelsOf({ HOLDFAST_NOTICE_CHANNELS: chosen, HOLDFAST_SMTP_URL: mail }: Settings): readonly ChannelName[] {
  if (chosen !== undefined) return chosen.split(',') as ChannelName[];
  return CHANNELS.filter((name) => name !== 'mail' || mail !== undefined);
}

function objectPlace(settings: Settings, home: string, workingDirectory: string): ObjectPlace {
  const objects = settings.HOLDFAST_OBJECTS;
  if (objects === undefined) return { kind: 'folder', folder: resolve(home, 'objects') };
  const [, bucket, prefix = ''] = BUCKET.exec(objects) ?? [];
  if (bucket === undefined) return { kind: 'folder', folder: resolve(workingDirectory, objects) };
  return {
    kind: 's3',
    bucket,
    prefix,
    endpoint: settings.HOLDFAST_S3_ENDPOINT,
    // Servers that are not Amazon's mostly have no regions, but a request is always signed for one.
    region: settings.AWS_REGION ?? 'us-east-1',
    cacheFolder: resolve(home, 'object-copies'),
  };
}

function objectVariables(place: ObjectPlace): Record<string, string | undefined> {
  if (place.kind === 'folder') return { HOLDFAST_OBJECTS: place.folder };
  return {
    HOLDFAST_OBJECTS: `s3://${[place.bucket, place.prefix].filter(Boolean).join('/')}`,
    HOLDFAST_S3_ENDPOINT: place.endpoint,
    AWS_REGION: place.region,
  };
}

/** A whole number written in plain digits: no sign, no exponent, no spaces, so that `1e3` and ` 10` are refused. */
function integer({ min, max, what }: { min: number; max: number; what: string }) {
  const range = max === Number.MAX_SAFE_INTEGER ? `of at least ${min}` : `from ${min} to ${max}`;
  return z
    .string()
    .refine(
      (text) => /^\d{1,16}$/.test(text) && Number(text) >= min && Number(text) <= max,
      `${what} ${range} in plain digits`,
    )
    .transform(Number);
}

function isAmount(text: string): boolean {
  try {
    parseCredits(text);
    return true;
  } catch {
    return false;
  }
}

function isPostgresUrl(text: string): boolean {
  return URL.canParse(text) && ['postgres:', 'postgresql:'].includes(new URL(text).protocol);
}

/** Something that only looks like an address would otherwise become a folder with a strange name. */
function isFolderOrBucket(text: string): boolean {
  return BUCKET.test(text) || !/^[A-Za-z][A-Za-z0-9+.-]+:/.test(text);
}

function isServerAddress(text: string): boolean {
  if (!isWebUrl(text)) return false;
  const { username, password, search, hash } = new URL(text);
  return [username, password, search, hash].every((part) => part === '');
}

function isChannels(text: string): boolean {
  const names = text.split(',');
  return names.every((name) => CHANNELS.some((one) => one === name)) && new Set(names).size === names.length;
}

function isRunners(text: string): boolean {
  const names = text.split(',');
  return names.every((name) => RUNNERS.some((one) => one === name)) && new Set(names).size === names.length;
}

function isMailServer(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, hostname, search, hash } = new URL(text);
  return ['smtp:', 'smtps:'].includes(protocol) && hostname !== '' && search === '' && hash === '';
}

function isWebUrl(text: string): boolean {
  return URL.canParse(text) && ['http:', 'https:'].includes(new URL(text).protocol);
}

function isHostAndPort(text: string): boolean {
  const match = /^(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9._-]+):(\d{1,5})$/.exec(text);
  return match !== null && Number(match[2]) >= 1 && Number(match[2]) <= 65_535;
}
