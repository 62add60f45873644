-- What the attempts at a stage's work took, and how long the narration of a job is. All rows are derived from the event
-- log, so they are dropped, and filled again from the beginning. An unfinished edition has no such columns: a rebuild
-- begins it again.

drop schema if exists catalog_next cascade;
drop schema if exists catalog_check cascade;

truncate catalog.batches, catalog.jobs, catalog.user_jobs, catalog.stages, catalog.scenes, catalog.videos, catalog.logs, catalog.failures,
    catalog.storage_operations, catalog.hourly_jobs, catalog.hourly_stages, catalog.quarantined, catalog.checkpoints;

alter table catalog.jobs add column narration_ms bigint not null default 0;
comment on column catalog.jobs.narration_ms is 'As long as the narration was measured; before, as it is expected to be.';
comment on column catalog.jobs.estimated_completion is 'When the job ended; null while it goes on, because answers tell what a forecast says.';

alter table catalog.stages
    add column cpu_ms bigint not null default 0,
    add column busy_ms bigint not null default 0;
comment on column catalog.stages.cpu_ms is 'CPU time of all attempts at its work, together.';
comment on column catalog.stages.busy_ms is 'From the beginning to the end of each attempt at its work, together.';
