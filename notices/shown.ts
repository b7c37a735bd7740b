/**
 * The channels that show a notice where the service is used: to who administers the person's contracts, and to the person.
 * Delivered means stored to be shown; the caller stores it together with this answer. When it is read is kept apart.
 */
import type { Channel, Letter } from './channel';

export const administratorChannel: Channel = {
  name: 'administrator',
  audience: 'administrator',
  identify,
  async send({ addressed }) {
    if (addressed.length === 0) {
      return { kind: 'failed', answer: 'nobody else administers a contract of the person' };
    }
    return { kind: 'delivered', answer: `stored to be shown to ${addressed.map(({ name }) => name).join(', ')}` };
  },
};

export const inServiceChannel: Channel = {
  name: 'in-service',
  audience: 'person',
  identify,
  async send() {
    return { kind: 'delivered', answer: 'stored to be shown to the person' };
  },
};

function identify({ addressed }: Letter) {
  return { recipients: addressed.map(({ userId }) => userId), messageId: null };
}
