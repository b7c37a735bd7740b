/** Configuration sessions as rows. Every act looks at the session under its lock first: what has ended stays ended. */
import type { Instant } from '../domain/instant';
import { lookAtSession, type Session, type SessionEnd, type SessionLook } from '../domain/session';
import { type Db, firstRow, inTransaction, rows, type Trx } from './client';

export interface SessionRow extends Session {
  readonly jobId: string;
  readonly userId: string;
  readonly contractId: string | null;
  /** The digest of the design's file. */
  readonly design: string;
  readonly isAdministrator: boolean;
  readonly warnedFor: Instant | null;
  readonly choices: Readonly<Record<string, string>>;
  readonly endedAt: Instant | null;
  readonly endedFor: SessionEnd | null;
}

export type NewSession = Pick<SessionRow, 'jobId' | 'userId' | 'contractId' | 'design' | 'isAdministrator'>;

const COLUMNS = `job_id as "jobId", user_id as "userId", contract_id as "contractId", design,
  is_administrator as "isAdministrator", opened_at as "openedAt", active_at as "activeAt", left_at as "leftAt",
  closed_at as "closedAt", closed_for as "closedFor", warned_for as "warnedFor", choices, ended_at as "endedAt",
  ended_for as "endedFor"`;

/**
 * Opens a session, or finds the one that its user has open on the same design: that one goes on.
 *
 * @returns the session's row; another `jobId` than the one given means that it was open already.
 */
export function openSession(db: Db, session: NewSession, at: Instant): Promise<SessionRow> {
  return inTransaction(db, async (trx) => {
    const { jobId, userId, contractId, design, isAdministrator } = session;
    for (const one of await openSessionsOf(trx, userId)) await endIfOver(trx, one, at);
    const inserted = await firstRow<SessionRow>(
      trx,
      `insert into sessions (job_id, user_id, contract_id, design, is_administrator, opened_at, active_at)
       values (?, ?, ?, ?, ?, ?, ?)
       on conflict do nothing
       returning ${COLUMNS}`,
      [jobId, userId, contractId, design, isAdministrator, at, at],
    );
    if (inserted) return inserted;
    const open = await firstRow<SessionRow>(
      trx,
      `select ${COLUMNS}
       from sessions
       where job_id = ?
          or (user_id = ? and design = ? and contract_id is not distinct from ?::uuid and ended_at is null)
       order by job_id = ? desc
       limit 1`,
      [jobId, userId, design, contractId, jobId],
    );
    if (!open) throw new Error(`session ${jobId} was neither opened nor found`);
    return open;
  });
}

/** Ends the other open sessions of a user, who has turned to another design. @returns the jobs of those it ended. */
export function closeOtherSessions(db: Db, session: { jobId: string; userId: string }, at: Instant): Promise<string[]> {
  return inTransaction(db, async (trx) => {
    const others = (await openSessionsOf(trx, session.userId)).filter(({ jobId }) => jobId !== session.jobId);
    for (const { jobId } of others) await close(trx, jobId, 'another-design', at);
    return others.map(({ jobId }) => jobId);
  });
}

/** What somebody does in a session. */
export type SessionAct =
  | { readonly kind: 'active'; readonly choices?: Readonly<Record<string, string>> }
  | { readonly kind: 'left' }
  | { readonly kind: 'close'; readonly reason: SessionEnd };

/**
 * Does something in an open session. In one that has ended nothing changes.
 *
 * @returns the session after it, and how it stands.
 */
export function actInSession(
  db: Db,
  jobId: string,
  act: SessionAct,
  at: Instant,
): Promise<{ session: SessionRow; look: SessionLook } | undefined> {
  return inTransaction(db, async (trx) => {
    const before = await lockSession(trx, jobId);
    if (!before) return undefined;
    const look = lookOf(before, at);
    if (look.state === 'ended') return { session: before, look };
    switch (act.kind) {
      case 'active':
        await trx.raw(
          `update sessions
           set active_at = greatest(active_at, ?::timestamptz), left_at = null, choices = choices || ?::jsonb
           where job_id = ?`,
          [at, JSON.stringify(act.choices ?? {}), jobId],
        );
        break;
      case 'left':
        await trx.raw('update sessions set left_at = ? where job_id = ? and left_at is null', [at, jobId]);
        break;
      case 'close':
        await close(trx, jobId, act.reason, at);
        break;
    }
    const session = await lockSession(trx, jobId);
    if (!session) throw new Error(`session ${jobId} is gone`);
    return { session, look: lookOf(session, at) };
  });
}

/**
 * Ends a session whose end has come; marks one as warned whose user has been idle for long.
 *
 * @returns how it stands, and whether it was this look that found its user idle.
 */
export function keepSession(
  db: Db,
  jobId: string,
  at: Instant,
): Promise<{ session: SessionRow; look: SessionLook; warns: boolean }> {
  return inTransaction(db, async (trx) => {
    const session = await lockSession(trx, jobId);
    if (!session) throw new Error(`there is no session ${jobId}`);
    const look = await endIfOver(trx, session, at);
    const warns = look.state === 'open' && look.warnAt <= at && session.warnedFor !== session.activeAt;
    if (warns) await trx.raw('update sessions set warned_for = active_at where job_id = ?', [jobId]);
    return { session, look, warns };
  });
}

export function findSession(db: Db, userId: string, jobId: string): Promise<SessionRow | undefined> {
  return firstRow<SessionRow>(db, `select ${COLUMNS} from sessions where job_id = ? and user_id = ?`, [jobId, userId]);
}

/** How a session stands; one whose end is written ended then. */
export function lookOf(session: SessionRow, at: Instant): SessionLook {
  const { endedAt, endedFor } = session;
  return endedAt !== null && endedFor !== null
    ? { state: 'ended', at: endedAt, reason: endedFor }
    : lookAtSession(session, at);
}

async function endIfOver(trx: Trx, session: SessionRow, at: Instant): Promise<SessionLook> {
  const look = lookOf(session, at);
  if (look.state === 'ended') {
    await trx.raw('update sessions set ended_at = ?, ended_for = ? where job_id = ? and ended_at is null', [
      look.at,
      look.reason,
      session.jobId,
    ]);
  }
  return look;
}

async function close(trx: Trx, jobId: string, reason: SessionEnd, at: Instant): Promise<void> {
  await trx.raw('update sessions set closed_at = ?, closed_for = ? where job_id = ? and closed_at is null', [
    at,
    reason,
    jobId,
  ]);
}

/** Locks them in the order of their ids. */
function openSessionsOf(trx: Trx, userId: string): Promise<SessionRow[]> {
  return rows<SessionRow>(
    trx,
    `select ${COLUMNS} from sessions where user_id = ? and ended_at is null order by job_id for update`,
    [userId],
  );
}

function lockSession(trx: Trx, jobId: string): Promise<SessionRow | undefined> {
  return firstRow<SessionRow>(trx, `select ${COLUMNS} from sessions where job_id = ? for update`, [jobId]);
}
