/** Uploaded inputs: content in the object store, and who may use it. */
import { type Db, firstRow, inTransaction } from './client';
import type { StoredObject } from './objectStore';

export interface Input extends StoredObject {
  readonly name: string;
  readonly mediaType: string;
}

/** Notes that a user uploaded a file. Uploading it again changes nothing. */
export function addInput(db: Db, userId: string, input: Input): Promise<void> {
  return inTransaction(db, async (trx) => {
    await trx.raw('insert into inputs (digest, size) values (?, ?) on conflict do nothing', [input.digest, input.size]);
    await trx.raw(
      `insert into input_uploads (digest, user_id, name, media_type)
       values (?, ?, ?, ?)
       on conflict do nothing`,
      [input.digest, userId, input.name, input.mediaType],
    );
  });
}

/** An input that this user uploaded; anybody else's looks like none. */
export async function findInput(db: Db, userId: string, digest: string): Promise<Input | undefined> {
  const found = await firstRow<Omit<Input, 'size'> & { size: bigint }>(
    db,
    `select i.digest, i.size, u.name, u.media_type as "mediaType"
     from inputs i
     join input_uploads u on u.digest = i.digest
     where i.digest = ? and u.user_id = ?`,
    [digest, userId],
  );
  return found && { ...found, size: Number(found.size) };
}
