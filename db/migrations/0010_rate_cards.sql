-- Drafts of rate cards: changed until they are published, then kept as they were. What is published stands in `rate_cards`.

create table rate_card_drafts (
  id uuid primary key,
  title text not null,
  -- Null for the instant at which it is published.
  effective_at timestamptz,
  services jsonb not null,
  -- Counts changes; what was read is named by it.
  revision int not null default 1 constraint rate_card_draft_revision_is_positive check (revision > 0),
  created_by text not null,
  created_at timestamptz not null,
  changed_by text not null,
  changed_at timestamptz not null,
  published_version int unique references rate_cards,
  -- The request that published it finds the version again when it is repeated.
  publish_request_id uuid unique,
  constraint rate_card_draft_is_published_by_a_request check ((published_version is null) = (publish_request_id is null))
);

create function refuse_change_of_published_draft() returns trigger
  language plpgsql as $$
begin
  if old.published_version is not null then
    raise exception 'draft % is published as version %; it is kept as it was', old.id, old.published_version
      using errcode = 'HF001';
  end if;
  if tg_op = 'DELETE' then
    return old;
  end if;
  return new;
end
$$;
create trigger rate_card_drafts_end_with_their_publication before update or delete on rate_card_drafts
  for each row execute function refuse_change_of_published_draft();

-- What a month cost is replayed in the order in which it was booked.
create index charges_by_booking on charges (booked_at, id);

grant select, insert, update, delete on rate_card_drafts to holdfast_application;
