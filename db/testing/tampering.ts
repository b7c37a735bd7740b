/** Changing what is stored, as only the database's owner can: with triggers and checks switched off. */
import { type Db, rows } from '../client';

export interface Column {
  readonly table: string;
  readonly column: string;
  readonly type: string;
}

/** The columns of tables, in their order. */
export function columnsOf(db: Db, tables: readonly string[]): Promise<Column[]> {
  return rows<Column>(
    db,
    `select table_name as table, column_name as column, data_type as type
     from information_schema.columns
     where table_schema = 'public' and table_name = any(?)
     order by table_name, ordinal_position`,
    [tables],
  );
}

/** Lets everything be written: what a table's checks refuse need not be found by anybody else. */
export async function dropChecks(owner: Db, tables: readonly string[]): Promise<void> {
  const checks = await rows<{ table: string; name: string }>(
    owner,
    `select conrelid::regclass::text as table, conname as name
     from pg_constraint
     where contype = 'c' and conrelid::regclass::text = any(?)`,
    [tables],
  );
  for (const { table, name } of checks) await owner.raw('alter table ?? drop constraint ??', [table, name]);
}

/** Runs a statement as the owner with all triggers off. */
export async function tamper<T>(owner: Db, sql: string, bindings: readonly unknown[] = []): Promise<T[]> {
  return owner.transaction(async (trx) => {
    await trx.raw('set local session_replication_role = replica');
    return rows<T>(trx, sql, bindings);
  });
}

/**
 * Values of which one digit, or where there is none one letter, is another.
 *
 * @param text the value as Postgres writes it.
 * @param at which of its digits first, counted from the end; others follow, for keys that another row has.
 */
export function changes(text: string, type: string, at = 0): string[] {
  if (type === 'boolean') return [{ true: 'false', false: 'true', t: 'f', f: 't' }[text] ?? text];
  const places = digitsOf(text, type).reverse().slice(at);
  if (places.length === 0) return [`${text.slice(0, -1)}${text.endsWith('x') ? 'y' : 'x'}`];
  return places.flatMap((index) =>
    [...'7849']
      .filter((digit) => digit !== text.charAt(index))
      .map((digit) => text.slice(0, index) + digit + text.slice(index + 1)),
  );
}

/** Where the digits of a value stand. */
export function digitsOf(text: string, type: string): number[] {
  const digits = type === 'uuid' || type === 'bytea' ? /[0-9a-f]/g : /[0-9]/g;
  // Behind an instant stands its offset, and before bytes their mark.
  const end = type.startsWith('timestamp') ? text.lastIndexOf('+') : text.length;
  return [...text.slice(0, end).matchAll(digits)].map(({ index }) => index);
}
