-- Jobs of several runs, such as the points of a design of experiments: each run has attempts of its own, numbered through the job.

alter table jobs
  add column runs int not null default 1,
  add constraint job_has_a_run check (runs >= 1);

alter table attempts
  add column run int not null default 1,
  -- In millionths; the job's progress is the mean over its runs.
  add column progress int not null default 0,
  add constraint attempt_run_counts_from_one check (run >= 1),
  add constraint attempt_progress_is_a_part check (progress between 0 and 1000000);
