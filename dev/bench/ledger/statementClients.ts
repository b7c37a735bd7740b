/** A process of clients that send one statement over and over: pgbench's work where there is no pgbench. */
import { Client } from 'pg';
import { answerParent } from './children';
import { drive, type Load } from './clients';

const [url = '', sql = ''] = process.argv.slice(2);

answerParent(async (load: Load) => {
  const connections = Array.from({ length: load.clients }, () => new Client({ connectionString: url }));
  await Promise.all(connections.map((connection) => connection.connect()));
  const { perSecond } = await drive(load, (client) => async (timed) => {
    await timed(async () => connections[client]?.query({ name: 'statement', text: sql }));
  });
  await Promise.all(connections.map((connection) => connection.end()));
  return perSecond;
});
