/**
 * The smallest program that keeps the launcher's side of the bargain: `migrate`, `seed`, and `serve api|jobs|compute`
 * that end on SIGTERM and with their parent. The API is ready when Postgres really answers.
 */
const { writeFileSync } = require('node:fs');
const { createServer } = require('node:http');
const { join } = require('node:path');
const { Client } = require('pg');
const { exitWithParent } = require('../../dist/dev/parent');

exitWithParent();
const [command, served] = process.argv.slice(2);

async function query(sql) {
  const client = new Client({ connectionString: process.env.DATABASE_URL });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return (await client.query(sql)).rows;
  } finally {
    await client.end();
  }
}

async function main() {
  if (command === 'migrate') {
    await query('create table if not exists starts (at timestamptz not null default now())');
  } else if (command === 'seed') {
    await query('insert into starts default values');
    const keys = { ada: { name: 'Ada', role: 'submitter', key: 'key-of-ada' } };
    writeFileSync(join(process.env.HOLDFAST_HOME, 'keys.json'), JSON.stringify(keys), { mode: 0o600 });
  } else if (process.env.TEST_FAILS === served) {
    throw new Error(`${served} is told to fail`);
  } else if (served === 'api') {
    const server = createServer((_, response) => {
      query('select count(*)::int as starts from starts').then(
        ([row]) => response.end(JSON.stringify(row)),
        (error) => response.writeHead(503).end(error.message),
      );
    });
    server.listen(Number(process.env.PORT), process.env.HOLDFAST_HOST);
    process.once('SIGTERM', () => process.exit(0));
  } else {
    setInterval(() => undefined, 1000);
    process.once('SIGTERM', () => process.exit(0));
  }
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
