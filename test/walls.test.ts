/**
 * The walls between the rooms: who may import whom, and what has one home only. `docs/architecture.md` tells why. A wall is
 * moved here, on purpose and with a reason, and nowhere else.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { join } from 'node:path';
import { parseSync } from '@swc/core';

/** What a room may import. `'all'` is for rooms that wire the others together. */
interface Wall {
  readonly rooms: readonly string[] | 'all';
  /** Rooms, or files of rooms, of which only types may be imported. */
  readonly types?: readonly string[];
  /** Node's own modules: all of them, or none. */
  readonly builtins: boolean;
  readonly packages: readonly string[] | 'all';
}

const WALLS: Readonly<Record<string, Wall>> = {
  // No clock, no chance, no input or output: what is decided here can be decided again.
  domain: { rooms: [], builtins: false, packages: ['temporal-polyfill'] },
  // Cases of many files come as archives, which are looked into before anything is quoted: `yauzl` reads them.
  services: { rooms: ['domain'], builtins: true, packages: ['yauzl', 'zod'] },
  // Strangers' files are computed here, by programs that could be anybody's.
  engines: {
    rooms: [],
    builtins: true,
    packages: ['@gltf-transform/core', 'eecircuit-engine', 'highs', 'pngjs', 'three', 'three-mesh-bvh', 'yauzl'],
  },
  runners: { rooms: ['domain'], types: ['services'], builtins: true, packages: ['zod'] },
  db: {
    rooms: ['domain'],
    builtins: true,
    packages: ['@aws-sdk/client-s3', '@aws-sdk/lib-storage', 'knex', 'pg', 'uuid'],
  },
  // Sentences and ways to reach people. Who is told what, and what was told, is kept elsewhere.
  notices: { rooms: ['domain'], builtins: true, packages: ['nodemailer'] },
  activities: {
    rooms: ['domain', 'db', 'notices', 'runners', 'services'],
    builtins: true,
    packages: ['@temporalio/activity', 'pino'],
  },
  // Replayed for years: nothing that could change between two replays may be reached from here.
  workflows: {
    rooms: ['domain'],
    types: ['activities'],
    builtins: false,
    packages: ['@temporalio/common', '@temporalio/workflow'],
  },
  api: {
    rooms: [
      'domain',
      'db',
      'services',
      'workflows/messages',
      'workflows/searchAttributes',
      'workflows/withdrawalMessages',
    ],
    types: ['workflows'],
    builtins: true,
    packages: [
      '@temporalio/client',
      '@temporalio/common',
      '@temporalio/proto',
      'express',
      'pino',
      'swagger-ui-dist',
      'zod',
    ],
  },
  cli: { rooms: 'all', builtins: true, packages: 'all' },
  dev: { rooms: 'all', builtins: true, packages: 'all' },
};

/** What has one home, whoever may import what: the rooms in which it may stand. */
const HOMES: readonly {
  readonly what: string;
  readonly packages: readonly string[];
  readonly rooms: readonly string[];
}[] = [
  // `dev` asks a Postgres that it has just started whether it answers, before there is a schema.
  { what: 'the database', packages: ['knex', 'pg'], rooms: ['db', 'dev'] },
  { what: 'object storage', packages: ['@aws-sdk/client-s3', '@aws-sdk/lib-storage'], rooms: ['db'] },
  { what: 'HTTP serving', packages: ['express', 'swagger-ui-dist'], rooms: ['api'] },
  { what: 'mail', packages: ['nodemailer'], rooms: ['notices'] },
  { what: 'the command line', packages: ['commander', 'cli-table3', 'picocolors'], rooms: ['cli', 'dev'] },
  { what: 'the workers', packages: ['@temporalio/worker'], rooms: ['cli', 'dev'] },
];
const SQL_ROOMS = ['db', 'dev'];

interface Import {
  readonly from: string;
  readonly typeOnly: boolean;
}

test('no file of a room imports what its wall keeps out', () => {
  expect(productFiles().flatMap((path) => breaches(path, read(path)))).toEqual([]);
});

test('every room with code has a wall', () => {
  const rooms = new Set(productFiles().map((path) => path.split('/')[0]));
  expect([...rooms].sort()).toEqual(Object.keys(WALLS).sort());
});

test('the product needs no package that only development installs', () => {
  const declared = JSON.parse(read('package.json')) as { dependencies: Record<string, string> };
  const missing = productFiles()
    .flatMap((path) => importsOf(read(path)).filter(({ typeOnly }) => !typeOnly))
    .map(({ from }) => packageOf(from))
    .filter((name) => name !== undefined && !(name in declared.dependencies));
  expect([...new Set(missing)]).toEqual([]);
});

test.each([
  ['domain/lots.ts', "import { readFileSync } from 'node:fs';", 'domain/lots.ts imports node:fs'],
  ['domain/lots.ts', "import { rows } from '../db/client';", 'domain/lots.ts imports db/client'],
  [
    'workflows/job.ts',
    "import { createSlots } from '../activities/slots';",
    'workflows/job.ts imports activities/slots',
  ],
  [
    'engines/spice/main.ts',
    "import type { Meter } from '../../services/service';",
    'engines/spice/main.ts imports services/service',
  ],
  ['api/app.ts', "import { job } from '../workflows/job';", 'api/app.ts imports workflows/job'],
  ['cli/main.ts', "import express from 'express';", 'cli/main.ts imports express: HTTP serving is at home in api'],
  ['api/app.ts', 'db.raw(`select id\n  from lots`);', 'api/app.ts has SQL, which is at home in db, dev'],
  ['db/lots.ts', "const { x } = await import('../api/app');", 'db/lots.ts imports api/app'],
  ['db/lots.ts', "export { x } from '../test/builders/ids';", 'db/lots.ts imports test/builders/ids'],
])('a breach is found: %s with %s', (path, source, sentence) => {
  expect(breaches(path, source)).toContain(sentence);
});

test.each([
  ['workflows/job.ts', "import type { RunActivities } from '../activities/run';"],
  ['workflows/job.ts', "import { type RunActivities } from '../activities/run';"],
  ['api/app.ts', "import { jobViewQuery } from '../workflows/messages';"],
  ['db/lots.ts', "// select something from the import of '../api/app'"],
])('what a wall lets through is not reported: %s with %s', (path, source) => {
  expect(breaches(path, source)).toEqual([]);
});

/** One sentence for each wall that a file breaks. */
function breaches(path: string, source: string): string[] {
  const room = path.split('/')[0] as string;
  const wall = WALLS[room];
  if (!wall) return [`${path} is in a room without a wall`];
  const found: string[] = [];
  for (const { from, typeOnly } of importsOf(source)) {
    const target = from.startsWith('.') ? join(path, '..', from) : from;
    if (!isLetThrough(wall, { room, from, target, typeOnly })) found.push(`${path} imports ${target}`);
    const name = packageOf(from);
    const home = HOMES.find(({ packages }) => name !== undefined && packages.includes(name));
    if (home && !typeOnly && !home.rooms.includes(room)) {
      found.push(`${path} imports ${from}: ${home.what} is at home in ${home.rooms.join(', ')}`);
    }
  }
  if (!SQL_ROOMS.includes(room) && textsOf(source).some(isSql)) {
    found.push(`${path} has SQL, which is at home in ${SQL_ROOMS.join(', ')}`);
  }
  return found;
}

function isLetThrough(
  { rooms, types = [], builtins, packages }: Wall,
  { room, from, target, typeOnly }: Import & { room: string; target: string },
): boolean {
  if (isBuiltin(from)) return builtins;
  if (!from.startsWith('.')) return packages === 'all' || packages.includes(packageOf(from) as string);
  const lies = (places: readonly string[]) =>
    places.some((place) => target === place || target.startsWith(`${place}/`));
  // What tests arrange with is no part of the product, except for the laws, which a demonstration is verified with.
  if (lies(['test']) || target.includes('/testing/')) return rooms === 'all' && target === 'db/testing/invariants';
  if (lies([room]) || rooms === 'all') return true;
  return lies(rooms) || (typeOnly && lies(types));
}

function isBuiltin(from: string): boolean {
  return from.startsWith('node:') || builtinModules.includes(from);
}

function packageOf(from: string): string | undefined {
  if (from.startsWith('.') || isBuiltin(from)) return undefined;
  return from
    .split('/')
    .slice(0, from.startsWith('@') ? 2 : 1)
    .join('/');
}

function isSql(text: string): boolean {
  return /^\s*(select\s[\s\S]+\sfrom\s|insert into\s|update\s+\w+\s+set\s|delete from\s|truncate\s|(create|alter|drop) (table|index|view)\s)/i.test(
    text,
  );
}

/** Everything a source imports, in any of the ways there are. */
function importsOf(source: string): Import[] {
  const found: Import[] = [];
  visit(parse(source), (node) => {
    const from = textOf(node.source);
    if (node.type === 'ImportDeclaration' && from !== undefined) {
      const specifiers = node.specifiers as { isTypeOnly?: boolean }[];
      const typeOnly = node.typeOnly === true || (specifiers.length > 0 && specifiers.every((one) => one.isTypeOnly));
      found.push({ from, typeOnly });
    } else if (/^Export(Named|All)Declaration$/.test(String(node.type)) && from !== undefined) {
      found.push({ from, typeOnly: node.typeOnly === true });
    } else if (node.type === 'CallExpression') {
      const callee = node.callee as { type: string; value?: string };
      const isImport = callee.type === 'Import' || (callee.type === 'Identifier' && callee.value === 'require');
      const asked = textOf((node.arguments as { expression: unknown }[])[0]?.expression);
      if (isImport && asked !== undefined) found.push({ from: asked, typeOnly: false });
    } else if (node.type === 'TsImportType') {
      const asked = textOf(node.argument);
      if (asked !== undefined) found.push({ from: asked, typeOnly: true });
    }
  });
  return found;
}

/** The texts of a source: string literals and the parts of templates, not comments. */
function textsOf(source: string): string[] {
  const found: string[] = [];
  visit(parse(source), (node) => {
    if (node.type === 'StringLiteral') found.push(String(node.value));
    if (node.type === 'TemplateLiteral') found.push((node.quasis as { raw: string }[]).map(({ raw }) => raw).join('?'));
  });
  return found;
}

type SyntaxNode = { readonly type?: unknown } & Readonly<Record<string, unknown>>;

function parse(source: string): SyntaxNode {
  return parseSync(source, { syntax: 'typescript', target: 'es2023' }) as unknown as SyntaxNode;
}

function visit(value: unknown, look: (node: SyntaxNode) => void): void {
  if (Array.isArray(value)) {
    for (const one of value) visit(one, look);
  } else if (value !== null && typeof value === 'object') {
    look(value as SyntaxNode);
    for (const one of Object.values(value)) visit(one, look);
  }
}

function textOf(literal: unknown): string | undefined {
  const { type, value } = (literal ?? {}) as { type?: string; value?: unknown };
  return type === 'StringLiteral' ? String(value) : undefined;
}

const ROOT = join(__dirname, '..');
// The soak is a test that runs for hours: it arranges with what tests arrange with.
const OUTSIDE = new Set(['node_modules', 'dist', 'test', 'tools', 'docs', 'samples', 'coverage', 'dev/soak']);

function read(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8');
}

/** The sources of the product: no tests, and not what only tests use. */
function productFiles(folder = ''): string[] {
  return readdirSync(join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) {
      const isOutside = entry.name.startsWith('.') || OUTSIDE.has(path) || entry.name === 'testing';
      return isOutside ? [] : productFiles(path);
    }
    return folder !== '' && /(?<!\.test|\.d)\.ts$/.test(entry.name) ? [path] : [];
  });
}
