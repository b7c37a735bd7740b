-- What customers bought and in which packs, and two guards on people: one address, one open authorisation.

-- An address is one person, however it is written.
create unique index users_by_address on users (lower(email));

-- Nobody is authorised twice on a contract at once. An authorisation that was taken back before it began is empty.
create unique index contract_users_open on contract_users (contract_id, user_id) where removed_at is null;
alter table contract_users
  -- Which request authorised the user, and which one said when that ends: a repeat finds what it has done.
  add column request_id uuid,
  add column removal_request_id uuid,
  drop constraint authorisation_is_half_open,
  add constraint authorisation_is_half_open check (removed_at is null or authorised_at <= removed_at);

-- So that a purchase can only be allocated to a contract of its own customer.
alter table contracts add constraint contract_keeps_its_customer unique (id, customer_id);

-- In what credits are sold. What a pack holds never changes; another size is another pack.
create table packs (
  code text primary key constraint pack_code_is_short check (length(code) between 1 and 60),
  title text not null,
  amount bigint not null constraint pack_holds_credits check (amount > 0),
  recorded_at timestamptz not null default clock_timestamp()
);
create trigger packs_are_append_only before update or delete or truncate on packs
  for each statement execute function refuse_change();

-- A purchase waits on its customer until it is allocated to a contract, once (R3). The allocation says all of the lot that is
-- granted after it, so that whoever finds it without its lot grants the same one.
create table purchases (
  id uuid primary key,
  order_number text not null unique constraint purchase_order_is_short check (length(order_number) between 1 and 200),
  customer_id uuid not null references customers,
  pack text references packs,
  quantity int constraint purchase_quantity_is_in_range check (quantity between 1 and 1000000),
  amount bigint not null constraint purchase_amount_is_in_range check (amount > 0 and amount <= 9000000000000000000),
  -- What was paid, in the smallest unit of a currency.
  price_minor bigint constraint purchase_price_not_negative check (price_minor >= 0),
  currency text constraint purchase_currency_is_a_code check (currency ~ '^[A-Z]{3}$'),
  purchased_at timestamptz not null,
  -- What was ordered under the number, as it was asked for.
  request jsonb not null,
  recorded_at timestamptz not null default clock_timestamp(),
  actor text not null,
  contract_id uuid,
  lot_id uuid unique,
  allocated_at timestamptz,
  allocated_by text,
  -- The life of the lot as it was allocated.
  expires_at timestamptz,
  grace_until timestamptz,
  foreign key (contract_id, customer_id) references contracts (id, customer_id),
  constraint purchase_of_a_pack_counts_it check ((pack is null) = (quantity is null)),
  constraint purchase_price_has_a_currency check ((price_minor is null) = (currency is null)),
  constraint purchase_is_allocated_as_a_whole check (
    num_nulls(contract_id, lot_id, allocated_at, allocated_by, expires_at) in (0, 5)
  ),
  constraint purchase_is_allocated_within_its_life check (
    allocated_at is null or (purchased_at <= allocated_at and allocated_at < expires_at)
  ),
  constraint purchase_grace_follows_its_expiry check (
    grace_until is null or (expires_at is not null and expires_at < grace_until)
  )
);
create index purchases_by_customer on purchases (customer_id, id);
create index purchases_by_contract on purchases (contract_id, id) where contract_id is not null;
create index purchases_waiting on purchases (id) where contract_id is null;

create function refuse_second_allocation() returns trigger
  language plpgsql as $$
declare
  allocation constant text[] := array['contract_id', 'lot_id', 'allocated_at', 'allocated_by', 'expires_at', 'grace_until'];
begin
  if old.contract_id is not null or to_jsonb(new) - allocation <> to_jsonb(old) - allocation then
    raise exception 'purchase % is as it was recorded; it is allocated once', old.order_number using errcode = 'HF001';
  end if;
  return new;
end
$$;
create trigger purchases_are_allocated_once before update on purchases
  for each row execute function refuse_second_allocation();
create trigger purchases_are_never_deleted before delete or truncate on purchases
  for each statement execute function refuse_change();

grant select, insert on packs, purchases to holdfast_application;
grant update (contract_id, lot_id, allocated_at, allocated_by, expires_at, grace_until) on purchases to holdfast_application;
grant update (name) on customers to holdfast_application;
