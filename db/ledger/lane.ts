/**
 * One connection on which transactions are sent one behind the other, without waiting for the answer to the one before. The
 * server takes them in the order in which they were sent, so that a batch can be planned with what the one before it leaves.
 */
import type { Pool, PoolClient } from 'pg';
import { isUnavailable } from '../client';

export class Lane {
  private connection: Promise<PoolClient> | undefined;

  constructor(private readonly pool: Pool) {}

  /**
   * Sends a transaction behind those before it.
   *
   * @param transact sends all of its statements before it waits for anything.
   * @throws what the transaction failed with.
   */
  async send<T>(transact: (client: PoolClient) => Promise<T>): Promise<T> {
    this.connection ??= this.connect();
    const { connection } = this;
    try {
      // Whoever waits for the same promise goes on in the order in which it was asked.
      return await transact(await connection);
    } catch (error) {
      if (isUnavailable(error)) await this.leave(connection);
      throw error;
    }
  }

  /** Gives the connection back. Nothing may be in flight. */
  async close(): Promise<void> {
    if (this.connection) await this.leave(this.connection);
  }

  private connect(): Promise<PoolClient> {
    const connection = this.pool.connect();
    // The next transaction takes another connection instead of failing on one that is gone, or that could not be made.
    connection.then(
      (client) => client.once('end', () => void this.leave(connection)),
      () => void this.leave(connection),
    );
    return connection;
  }

  private async leave(connection: Promise<PoolClient>): Promise<void> {
    // Several transactions may have been in flight: the first that notices ends the connection.
    if (this.connection !== connection) return;
    this.connection = undefined;
    const client = await connection.catch(() => undefined);
    client?.release(true);
  }
}
