-- Each run of a scene's code, with its error. All rows are derived from the event log, so they are dropped, and filled again from the
-- beginning. An unfinished edition has no such column: a rebuild begins it again.

drop schema if exists catalog_next cascade;
drop schema if exists catalog_check cascade;

truncate catalog.batches, catalog.jobs, catalog.user_jobs, catalog.stages, catalog.scenes, catalog.videos, catalog.logs, catalog.failures,
    catalog.storage_operations, catalog.hourly_jobs, catalog.hourly_stages, catalog.quarantined, catalog.checkpoints;

alter table catalog.scenes add column code_attempts jsonb not null default '[]';
comment on column catalog.scenes.code_attempts is 'Runs of its code before it was drawn: attempt, code, and error or null.';
