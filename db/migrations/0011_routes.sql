-- Where jobs run: compute workers say what they offer, a submission chooses once.

create table compute_offers (
  worker text not null,
  runner text not null,
  engine text not null,
  -- Said again from time to time; what was not said for a while is not offered any more.
  offered_at timestamptz not null,
  primary key (worker, runner, engine)
);
create index compute_offers_by_age on compute_offers (offered_at);

-- Null for jobs that were submitted before there was a choice: they run on the first engine of their service.
alter table jobs
  add column runner text,
  add column engine text,
  add constraint job_route_is_whole check ((runner is null) = (engine is null));

-- What was read in the input file, so that a job with a quote needs no second look at it.
alter table quotes add column facts jsonb;

grant select, insert, update, delete on compute_offers to holdfast_application;
