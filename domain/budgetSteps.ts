/** What happens to a budget: it is opened and closed (R17). Another amount is another budget. */
import type { Book } from './book';
import { objectionToBudget } from './budget';
import type { CloseBudgetOperation, OpenBudgetOperation, Refused } from './operations';
import { refused, type Step } from './step';

/** Refusals: `invalid_request`, `budget_exists`. */
export function planOpenBudget(book: Book, { budget }: OpenBudgetOperation): Step | Refused {
  const objection = objectionToBudget(budget);
  if (objection) return refused('invalid_request', objection);
  const existing = book.budgets.find(budget.id) ?? book.budgets.findLike(budget);
  if (existing) {
    return refused(
      'budget_exists',
      `Budget ${existing.id} is open for the same ${budget.userId === null ? 'project' : 'user'} and period; close it first.`,
      { budgetId: existing.id },
    );
  }
  return { transfers: [], openedBudgetId: budget.id };
}

/** Refusal: `not_found`. */
export function planCloseBudget(book: Book, { budgetId, contractId }: CloseBudgetOperation): Step | Refused {
  if (book.budgets.find(budgetId)?.contractId !== contractId) {
    return refused('not_found', `Contract ${contractId} has no open budget ${budgetId}.`);
  }
  return { transfers: [], closedBudgetId: budgetId };
}
