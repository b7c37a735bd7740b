/** Changes only to what the asker has read: ETag and If-Match of RFC 9110. */
import type { Request } from 'express';
import { BillingError } from '../domain/errors';

/** The ETag of what an id names for good: another id, another state. */
export function etagOf(id: string): string {
  return `"${id}"`;
}

/**
 * @throws BillingError `precondition_required` without the header, `precondition_failed` when it names something else.
 */
export function mustMatch(request: Request, etag: string): void {
  const header = request.header('If-Match');
  if (header === undefined) {
    throw new BillingError(
      'precondition_required',
      'Send the ETag of what you read as If-Match, so that nobody’s change is lost.',
    );
  }
  const named = header.split(',').map((one) => one.trim());
  if (!named.includes('*') && !named.includes(etag)) {
    throw new BillingError('precondition_failed', 'Somebody changed it after you read it; read it again.');
  }
}
