-- The streams of jobs that failed or were cancelled stay for a while. All rows are derived from the event log, so they are
-- dropped, and filled again from the beginning. An unfinished edition has other rows: a rebuild begins it again.

drop schema if exists catalog_next cascade;
drop schema if exists catalog_check cascade;

truncate catalog.batches, catalog.jobs, catalog.user_jobs, catalog.stages, catalog.scenes, catalog.videos, catalog.logs, catalog.failures,
    catalog.storage_operations, catalog.hourly_jobs, catalog.hourly_stages, catalog.quarantined, catalog.checkpoints;

create index on catalog.jobs (ended_at)
    where status in ('failed', 'cancelled') and files_removed_at is null and deleted_at is null;
comment on column catalog.jobs.files_removed_at is 'When the job''s files were removed; null while there may be some.';
