/** Contracts, people and purchases as people read them. Every amount is shown with the API's own digits. */
import type { Authorisation, Contract, ContractChange, Customer, Pack, Purchase, Spenders, User } from './client';
import { amountCell, formatPairs, formatTable, inCredits, instantCell, type Paint } from './output';

export function customersView(customers: readonly Customer[], paint: Paint): string {
  if (customers.length === 0) return 'No customers.';
  return formatTable(
    [{ title: 'customer' }, { title: 'name' }],
    customers.map(({ id, name }) => [id, name]),
    paint,
  );
}

export function userView({ id, customerId, name, email, language, timeZone }: User, paint: Paint): string {
  return formatPairs(
    [
      ['user', id],
      ['name', paint.bold(name)],
      ['address', email],
      ['customer', customerId ?? 'the provider’s own'],
      ['is written to', `in ${language}, by the clock of ${timeZone}`],
    ],
    paint,
  );
}

export function contractsView(contracts: readonly Contract[], paint: Paint): string {
  if (contracts.length === 0) return 'No contracts.';
  return formatTable(
    [{ title: 'contract' }, { title: 'name' }, { title: 'customer' }, { title: 'state' }, { title: 'ends' }],
    contracts.map(({ id, name, customer, state, endsAt }) => [
      id,
      name,
      customer,
      stateText(state, paint),
      instantCell(endsAt),
    ]),
    paint,
  );
}

export function contractView(contract: Contract, paint: Paint): string {
  const { terminatesAt, suspendedAt, graceEndsAt, endsAt, renewal, renewalMonths } = contract;
  const pairs: [string, string][] = [
    ['contract', contract.id],
    ['name', paint.bold(contract.name)],
    ['customer', contract.customer],
    ['state', stateText(contract.state, paint)],
    ['from', instantCell(contract.startsAt)],
    ['to', instantCell(endsAt)],
    ['time zone', contract.timeZone],
    ['renewal', `${renewal}, for ${renewalMonths} months`],
  ];
  if (graceEndsAt !== endsAt) pairs.push(['can be renewed until', instantCell(graceEndsAt)]);
  if (terminatesAt !== null) pairs.push(['terminated at', instantCell(terminatesAt)]);
  if (suspendedAt !== null) pairs.push(['suspended since', instantCell(suspendedAt)]);
  pairs.push(['version', String(contract.version)]);
  const terms = formatTable(
    [{ title: 'term', align: 'right' }, { title: 'from' }, { title: 'to' }],
    contract.terms.map((term) => [String(term.number), instantCell(term.startsAt), instantCell(term.endsAt)]),
    paint,
  );
  const parts = [formatPairs(pairs, paint), terms];
  if (contract.products.length > 0) {
    parts.push(
      formatTable(
        [{ title: 'product' }, { title: 'type' }, { title: 'level' }, { title: 'seats', align: 'right' }],
        contract.products.map(({ product, type, level, seats }) => [product, type, level, String(seats)]),
        paint,
      ),
    );
  }
  return parts.join('\n\n');
}

function stateText(state: Contract['state'], paint: Paint): string {
  return state === 'active' ? paint.green(state) : state === 'upcoming' ? state : paint.yellow(state);
}

export function changesView(changes: readonly ContractChange[], paint: Paint): string {
  if (changes.length === 0) return 'Nothing was changed.';
  return formatTable(
    [{ title: '', align: 'right' }, { title: 'at' }, { title: 'what' }, { title: 'by' }, { title: 'why' }],
    changes.map(({ number, at, kind, actor, reason }) => [String(number), instantCell(at), kind, actor, reason]),
    paint,
  );
}

export function authorisationsView(authorisations: readonly Authorisation[], paint: Paint): string {
  if (authorisations.length === 0) return 'Nobody is or was on the contract.';
  return formatTable(
    [{ title: 'user' }, { title: 'name' }, { title: 'as' }, { title: 'from' }, { title: 'to' }],
    authorisations.map(({ userId, name, role, authorisedAt, removedAt }) => [
      userId,
      name,
      role,
      instantCell(authorisedAt),
      removedAt === null ? '–' : instantCell(removedAt),
    ]),
    paint,
  );
}

export function spendersView({ at, available, users }: Spenders, paint: Paint): string {
  const head = `At ${instantCell(at)} ${inCredits(available)} of the lot were available.`;
  if (users.length === 0) return `${head} Nobody could spend them.`;
  const table = formatTable(
    [{ title: 'user' }, { title: 'name' }, { title: 'could spend it' }, { title: '' }],
    users.map(({ userId, name, maySpend, message }) => [
      userId,
      name,
      maySpend ? paint.green('yes') : 'no',
      message ?? '',
    ]),
    paint,
  );
  return `${head}\n\n${table}`;
}

export function packsView(packs: readonly Pack[], paint: Paint): string {
  if (packs.length === 0) return 'Nothing is sold in packs.';
  return formatTable(
    [{ title: 'pack' }, { title: 'title' }, { title: 'holds', align: 'right' }],
    packs.map(({ code, title, amount }) => [code, title, amountCell(amount)]),
    paint,
  );
}

export function purchasesView(purchases: readonly Purchase[], paint: Paint): string {
  if (purchases.length === 0) return 'No purchases.';
  return formatTable(
    [
      { title: 'purchase' },
      { title: 'order' },
      { title: 'credits', align: 'right' },
      { title: 'purchased' },
      { title: 'state' },
      { title: 'expires' },
    ],
    purchases.map(({ id, orderNumber, amount, purchasedAt, state, expiresAt }) => [
      id,
      orderNumber,
      amountCell(amount),
      instantCell(purchasedAt),
      state,
      instantCell(expiresAt),
    ]),
    paint,
  );
}

export function purchaseView(purchase: Purchase, paint: Paint): string {
  const { pack, quantity, price, contractId, lotId, allocatedAt } = purchase;
  const pairs: [string, string][] = [
    ['purchase', purchase.id],
    ['order', paint.bold(purchase.orderNumber)],
    ['customer', purchase.customerId],
    ['credits', pack === null ? inCredits(purchase.amount) : `${inCredits(purchase.amount)}: ${quantity} × ${pack}`],
    ['purchased', instantCell(purchase.purchasedAt)],
    ['state', purchase.state],
    ['expires', instantCell(purchase.expiresAt)],
  ];
  if (price !== null) pairs.push(['paid', `${price.minor} in the smallest unit of ${price.currency}`]);
  if (contractId !== null) pairs.push(['contract', contractId]);
  if (lotId !== null) pairs.push(['lot', `${lotId}, effective from ${instantCell(allocatedAt)}`]);
  return formatPairs(pairs, paint);
}
