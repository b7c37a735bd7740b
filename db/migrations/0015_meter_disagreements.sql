-- Where what we counted and what the program itself states differ. A charge stands on what was counted, and says so.

create table meter_disagreements (
  job_id uuid not null,
  attempt int not null,
  counter text not null,
  counted bigint not null,
  stated bigint not null,
  recorded_at timestamptz not null default clock_timestamp(),
  primary key (job_id, attempt, counter),
  foreign key (job_id, attempt) references attempts (job_id, number),
  constraint meters_that_disagree_differ check (counted <> stated)
);
create trigger meter_disagreements_are_append_only before update or delete or truncate on meter_disagreements
  for each statement execute function refuse_change();

grant select, insert on meter_disagreements to holdfast_application;
