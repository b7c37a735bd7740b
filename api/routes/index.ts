import type { ApiDependencies } from '../app';
import type { Route } from '../route';
import { allocationRoutes } from './allocations';
import { authorisationRoutes } from './authorisations';
import { budgetRoutes } from './budgets';
import { calendarRoutes } from './calendar';
import { chargeRoutes } from './charges';
import { contractRoutes } from './contracts';
import { externalRoutes } from './external';
import { healthRoutes } from './health';
import { inputRoutes } from './inputs';
import { jobRoutes } from './jobs';
import { lotRoutes } from './lots';
import { noticeRoutes } from './notices';
import { peopleRoutes } from './people';
import { purchaseRoutes } from './purchases';
import { quoteRoutes } from './quotes';
import { rateCardDraftRoutes } from './rateCardDrafts';
import { rateCardRoutes } from './rateCards';
import { refundRoutes } from './refunds';
import { serviceRoutes } from './services';
import { sessionRoutes } from './sessions';
import { spenderRoutes } from './spenders';
import { transferRoutes } from './transfers';
import { withdrawalRoutes } from './withdrawals';

/** Every route there is, in the order in which the documentation lists them. */
export function allRoutes(dependencies: ApiDependencies): Route[] {
  return [
    ...serviceRoutes(dependencies),
    ...rateCardRoutes(dependencies),
    ...rateCardDraftRoutes(dependencies),
    ...inputRoutes(dependencies),
    ...quoteRoutes(dependencies),
    ...jobRoutes(dependencies),
    ...sessionRoutes(dependencies),
    ...peopleRoutes(dependencies),
    ...contractRoutes(dependencies),
    ...authorisationRoutes(dependencies),
    ...calendarRoutes(dependencies),
    ...lotRoutes(dependencies),
    ...spenderRoutes(dependencies),
    ...purchaseRoutes(dependencies),
    ...allocationRoutes(dependencies),
    ...budgetRoutes(dependencies),
    ...chargeRoutes(dependencies),
    ...refundRoutes(dependencies),
    ...withdrawalRoutes(dependencies),
    ...transferRoutes(dependencies),
    ...noticeRoutes(dependencies),
    ...externalRoutes(dependencies),
    ...healthRoutes(dependencies),
  ];
}
