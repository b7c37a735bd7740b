/** How a command ends when it does not end well: the exit codes and what is said. */
import { type Problem, Refused, Unreachable } from './client';
import { ConfigError } from './config';

/** Documented in `docs/cli.md`; scripts rely on them. */
export const EXIT = {
  ok: 0,
  /** The API said no. */
  refused: 1,
  /** The ledger does not follow from its operations. */
  notSound: 1,
  wrongUsage: 2,
  notReachable: 3,
  /** A watched job ended without completing. */
  jobNotCompleted: 4,
  /** A dossier does not explain its charge. */
  dossierDisagrees: 5,
} as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** The command line asks for something that cannot be meant; the message says what would do. */
export class WrongUsage extends Error {
  override readonly name = 'WrongUsage';
}

/** No installation is known to ask. */
export class NothingRuns extends Error {
  override readonly name = 'NothingRuns';
}

/** A command said all it had to say and ends with a code of its own. */
export class EndsWith extends Error {
  override readonly name = 'EndsWith';
  constructor(readonly code: ExitCode) {
    super(`ends with ${code}`);
  }
}

/** The exit code of an expected failure; undefined for a bug. */
export function exitCodeOf(error: unknown): ExitCode | undefined {
  if (error instanceof EndsWith) return error.code;
  if (error instanceof WrongUsage || error instanceof ConfigError) return EXIT.wrongUsage;
  if (error instanceof Unreachable || error instanceof NothingRuns) return EXIT.notReachable;
  if (error instanceof Refused) return error.problem.status === 503 ? EXIT.notReachable : EXIT.refused;
  return undefined;
}

/** A problem in the words of the API: what is wrong, what is lacking, what would help. */
export function describeProblem(problem: Problem): string {
  const { title, detail, required, available, shortfall, remedies = [] } = problem;
  // Some details only name the field and what it must be.
  const lines = [/^\p{Lu}/u.test(detail) ? detail : `${title}: ${detail}`];
  const amounts = [required, available, shortfall];
  // Most details say the amounts themselves.
  if (amounts.every((amount) => amount !== undefined && !detail.includes(amount))) {
    lines.push(`  required ${required}, available ${available}, short of ${shortfall} credits`);
  }
  if (remedies.length > 0) lines.push('What would help:', ...remedies.map(({ message }) => `  - ${message}`));
  return lines.join('\n');
}
