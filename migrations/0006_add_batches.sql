-- Batches, what is recorded of jobs beside their topic and title, and deleted jobs. Rows of before lack what their events
-- say of it, and all rows are derived from the event log: the catalog is filled again from the beginning.

drop schema if exists catalog_next cascade;
drop schema if exists catalog_check cascade;

truncate catalog.checkpoints, catalog.quarantined, catalog.jobs, catalog.user_jobs, catalog.stages, catalog.scenes,
    catalog.videos, catalog.logs, catalog.failures, catalog.storage_operations, catalog.hourly_jobs, catalog.hourly_stages;

alter table catalog.jobs
    add column batch_id uuid,
    add column description text,
    add column tags text[] not null default '{}',
    add column deleted_at timestamptz,
    add column files_removed_at timestamptz;
create index on catalog.jobs (batch_id, created_at desc, job_id desc) where batch_id is not null;
create index on catalog.jobs using gin (tags);
create index on catalog.jobs (deleted_at) where deleted_at is not null and files_removed_at is null;
create index on catalog.jobs
    (user_id, (case priority when 'low' then 0 when 'normal' then 1 when 'high' then 2 else 3 end), created_at desc, job_id desc);
comment on column catalog.jobs.batch_id is 'The batch with which it was requested; null without one.';
comment on column catalog.jobs.description is 'The user''s description of it.';
comment on column catalog.jobs.tags is 'The user''s tags, in lower case.';
comment on column catalog.jobs.deleted_at is 'When its user deleted it; null unless they did. No list shows it since.';
comment on column catalog.jobs.files_removed_at is 'When the files of the deleted job were removed; null before.';

create table catalog.batches (
    batch_id uuid primary key,
    partition smallint not null,
    version bigint not null,
    user_id text not null,
    batch_name text,
    batch_priority text not null,
    job_ids uuid[] not null,
    created_at timestamptz not null,
    completed_at timestamptz,
    completed bigint,
    failed bigint,
    cancelled bigint,
    processing_ms bigint,
    video_ms bigint,
    video_bytes bigint
);
create index on catalog.batches (user_id, created_at desc, batch_id desc);
comment on table catalog.batches is 'Jobs that were requested together.';
comment on column catalog.batches.batch_id is 'The batch.';
comment on column catalog.batches.partition is 'Partition of the log.';
comment on column catalog.batches.version is 'Version of the last event that the row holds.';
comment on column catalog.batches.user_id is 'Whose batch it is.';
comment on column catalog.batches.batch_name is 'The user''s name for it.';
comment on column catalog.batches.batch_priority is 'The priority of those of its jobs that name none.';
comment on column catalog.batches.job_ids is 'Its jobs, in the order of the request.';
comment on column catalog.batches.created_at is 'When it was requested.';
comment on column catalog.batches.completed_at is 'When all of its jobs had ended; null before, and while one is begun again. So it is with the figures.';
comment on column catalog.batches.completed is 'Jobs completed.';
comment on column catalog.batches.failed is 'Jobs failed.';
comment on column catalog.batches.cancelled is 'Jobs cancelled.';
comment on column catalog.batches.processing_ms is 'Ms that its jobs took, added up.';
comment on column catalog.batches.video_ms is 'Ms of video that they made.';
comment on column catalog.batches.video_bytes is 'Bytes of video that they made.';
