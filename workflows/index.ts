export { job } from './job';
export { reconcile } from './reconcile';
