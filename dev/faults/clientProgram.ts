/** A process with a ledger of its own: it applies what its parent asks and tells it the answers. `clients.ts` starts it. */
import { connect, isUnavailable } from '../../db/client';
import { openLedger } from '../../db/ledger';
import { BillingError } from '../../domain/errors';
import { exitWithParent } from '../parent';
import { type Answer, CLIENT_NAME, type Failure, type Question } from './clients';

function main(): void {
  exitWithParent();
  // Here the channel is a reason to stay: questions come through it.
  process.channel?.ref();
  const [url = '', options = '{}'] = process.argv.slice(2);
  const ledger = openLedger(connect(url, { poolMax: 1, applicationName: CLIENT_NAME }), JSON.parse(options));
  process.on('message', ({ number, operation }: Question) => {
    ledger.apply(operation).then(
      (outcome) => tell({ number, outcome }),
      (error) => tell({ number, failure: failureOf(error) }),
    );
  });
  tell('ready');
}

function tell(answer: Answer | 'ready'): void {
  process.send?.(answer);
}

function failureOf(error: unknown): Failure {
  return {
    message: error instanceof Error ? error.message : String(error),
    mayPass: isUnavailable(error) || (error instanceof BillingError && error.code === 'overloaded'),
  };
}

main();
