/** Typed search attributes: what operators filter workflows by. Never a source of truth. */
import { defineSearchAttributeKey } from '@temporalio/common';

export const CUSTOMER_ID = defineSearchAttributeKey('CustomerId', 'KEYWORD');
export const CONTRACT_ID = defineSearchAttributeKey('ContractId', 'KEYWORD');
export const USER_ID = defineSearchAttributeKey('UserId', 'KEYWORD');
export const SERVICE = defineSearchAttributeKey('Service', 'KEYWORD');
export const BILLING_STATE = defineSearchAttributeKey('BillingState', 'KEYWORD');
export const CONTRACT_STATE = defineSearchAttributeKey('ContractState', 'KEYWORD');
/** When a contract or a withdrawal does something next. */
export const NEXT_AT = defineSearchAttributeKey('NextAt', 'DATETIME');

export const SEARCH_ATTRIBUTES = [CUSTOMER_ID, CONTRACT_ID, USER_ID, SERVICE, BILLING_STATE, CONTRACT_STATE, NEXT_AT];
