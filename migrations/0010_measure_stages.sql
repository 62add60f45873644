-- What the attempts at a stage's work took. Stages of before were not measured.

alter table catalog.stages
    add column cpu_ms bigint not null default 0,
    add column busy_ms bigint not null default 0;
comment on column catalog.stages.cpu_ms is 'CPU time of all attempts at its work, together.';
comment on column catalog.stages.busy_ms is 'From the beginning to the end of each attempt at its work, together.';

-- The estimate of a job that has ended is when it ended.
update catalog.jobs set estimated_completion = ended_at where ended_at is not null;
