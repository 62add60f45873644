-- Each read model gets a schema of its own, so that a rebuild can fill another edition beside it and switch. All rows
-- are derived from the event log, so the tables of before are dropped, and the new ones filled from the beginning.

drop table projection_checkpoints, jobs, stages, videos;

create extension if not exists pg_trgm;

create schema catalog;
comment on schema catalog is 'Read model `catalog`: what the API lists. Derived from the event log.';

create table catalog.checkpoints (
    partition smallint primary key,
    seq bigint not null,
    updated_at timestamptz not null default now()
);
comment on table catalog.checkpoints is 'How far each partition of the log is applied; commits together with the rows.';
comment on column catalog.checkpoints.partition is 'Partition of the log.';
comment on column catalog.checkpoints.seq is 'Sequence number of the last event that the rows hold.';
comment on column catalog.checkpoints.updated_at is 'When it was applied.';

create table catalog.jobs (
    job_id uuid primary key,
    partition smallint not null,
    version bigint not null,
    user_id text not null,
    topic text not null,
    title text,
    quality text not null,
    priority text not null,
    output_format text not null,
    status text not null check (status in ('queued', 'processing', 'completed', 'failed', 'cancelled')),
    percentage double precision not null,
    current_stage text not null,
    stages_completed text[] not null,
    scenes_total integer not null,
    scenes_done integer not null,
    retry_count integer not null,
    created_at timestamptz not null,
    started_at timestamptz,
    ended_at timestamptz,
    updated_at timestamptz not null,
    estimated_completion timestamptz,
    video_id uuid,
    error_code text,
    error_message text,
    error_stage text
) with (fillfactor = 80);
create index on catalog.jobs (user_id, created_at desc, job_id desc);
create index on catalog.jobs (user_id, status, created_at desc, job_id desc);
create index on catalog.jobs (status, created_at desc, job_id desc);
create index on catalog.jobs (priority, created_at desc, job_id desc);
create index on catalog.jobs (created_at desc, job_id desc);
create index on catalog.jobs using gin ((topic || ' ' || coalesce(title, '')) gin_trgm_ops);
comment on table catalog.jobs is 'One row for each job, as of its last event.';

create table catalog.user_jobs (
    user_id text not null,
    status text not null,
    priority text not null,
    partition smallint not null,
    jobs bigint not null,
    primary key (user_id, status, priority, partition)
);
comment on table catalog.user_jobs is 'How many jobs each user has in each status and priority; kept with every event, for listings.';

create table catalog.stages (
    job_id uuid not null,
    stage text not null,
    queued_at timestamptz,
    started_at timestamptz,
    completed_at timestamptz,
    attempts integer not null,
    failures integer not null,
    retries integer not null,
    primary key (job_id, stage)
);
comment on table catalog.stages is 'When each stage of a job was queued, began and ended.';

create table catalog.scenes (
    job_id uuid not null,
    scene integer not null,
    title text not null,
    narration text not null,
    status text not null,
    attempts integer not null,
    language text,
    code text,
    frames bigint,
    duration_ms bigint,
    rendered_at timestamptz,
    primary key (job_id, scene)
);
comment on table catalog.scenes is 'The scenes of each job''s plan, and how far each of them is.';

create table catalog.videos (
    video_id uuid primary key,
    job_id uuid not null unique,
    user_id text not null,
    duration_ms bigint not null,
    width integer not null,
    height integer not null,
    fps double precision not null,
    frames bigint not null,
    video_codec text not null,
    audio_codec text not null,
    bitrate bigint not null,
    file_size bigint not null,
    files jsonb not null,
    created_at timestamptz not null
);
comment on table catalog.videos is 'Finished videos, as read back from their files. `files` lists role, key, bytes and blake3 of each stored file.';

create table catalog.logs (
    job_id uuid not null,
    version bigint not null,
    at timestamptz not null,
    level text not null check (level in ('debug', 'info', 'warning', 'error')),
    stage text,
    scene integer,
    message text not null,
    primary key (job_id, version)
);
comment on table catalog.logs is 'What a user reads of a job''s events; one line for each event that says something.';

create table catalog.failures (
    job_id uuid not null,
    version bigint not null,
    at timestamptz not null,
    stage text not null,
    scene integer,
    attempt integer not null,
    code text not null,
    message text not null,
    retryable boolean not null,
    primary key (job_id, version)
);
create index on catalog.failures (at);
comment on table catalog.failures is 'Each attempt that failed.';

create table catalog.storage_operations (
    job_id uuid not null,
    version bigint not null,
    target text not null,
    files integer not null,
    bytes bigint not null,
    started_at timestamptz not null,
    completed_at timestamptz not null,
    primary key (job_id, version)
);
create index on catalog.storage_operations (completed_at);
comment on table catalog.storage_operations is 'Each upload of a finished video''s files.';

create table catalog.hourly_jobs (
    hour timestamptz not null,
    quality text not null,
    priority text not null,
    partition smallint not null,
    requested bigint not null,
    started bigint not null,
    completed bigint not null,
    failed bigint not null,
    cancelled bigint not null,
    queue_ms bigint not null,
    processing_ms bigint not null,
    video_ms bigint not null,
    frames bigint not null,
    bytes bigint not null,
    primary key (hour, quality, priority, partition)
);
comment on table catalog.hourly_jobs is 'What became of jobs in each hour; kept with every event.';

create table catalog.hourly_stages (
    hour timestamptz not null,
    stage text not null,
    partition smallint not null,
    completed bigint not null,
    failed bigint not null,
    retried bigint not null,
    duration_ms bigint not null,
    primary key (hour, stage, partition)
);
comment on table catalog.hourly_stages is 'What became of stages in each hour; kept with every event.';

create schema trail;
comment on schema trail is 'Read model `trail`: every event without its data. Derived from the event log.';

create table trail.checkpoints (like catalog.checkpoints including all);
comment on table trail.checkpoints is 'How far each partition of the log is applied; commits together with the rows.';

create table trail.events (
    partition smallint not null,
    seq bigint not null,
    event_id uuid not null,
    aggregate text not null,
    aggregate_id uuid not null,
    version bigint not null,
    type text not null,
    recorded_at timestamptz not null,
    actor text not null,
    correlation_id text not null,
    hash text not null,
    primary key (partition, seq)
);
create index on trail.events (aggregate_id, version);
create index on trail.events (type, recorded_at, event_id);
create index on trail.events (actor, recorded_at, event_id);
create index on trail.events (recorded_at, event_id);
comment on table trail.events is 'One row for each event of the log, of whatever aggregate.';

-- The keys of users' content. The only table whose rows cannot be derived: back it up. A destroyed key leaves its row.
create table user_keys (
    key_id uuid primary key,
    user_id text not null,
    wrapped bytea,
    created_at timestamptz not null default now(),
    destroyed_at timestamptz
);
create unique index user_keys_live on user_keys (user_id) where wrapped is not null;
comment on table user_keys is 'The key of each user''s content, encrypted with the master key; null once it is destroyed.';

-- Signed statements of how far the log went and what its hashes were; written by the notary, never changed.
create table audit_seals (
    partition smallint not null,
    seq bigint not null,
    chain text not null,
    signed_at timestamptz not null,
    key_id text not null,
    signature text not null,
    primary key (partition, seq)
);
comment on table audit_seals is 'Signed hashes over all events of a partition up to a sequence number. Kept outside Redis, and never derived again.';

comment on column catalog.jobs.job_id is 'The job.';
comment on column catalog.jobs.partition is 'Partition of the log.';
comment on column catalog.jobs.version is 'Version of the last event that the row holds.';
comment on column catalog.jobs.user_id is 'Whose job it is.';
comment on column catalog.jobs.topic is 'What the video is about, in the user''s words; [erased] once they are.';
comment on column catalog.jobs.title is 'The user''s title for it.';
comment on column catalog.jobs.quality is 'low, medium, high or ultra.';
comment on column catalog.jobs.priority is 'low, normal, high or urgent.';
comment on column catalog.jobs.output_format is 'mp4, mov, webm or avi.';
comment on column catalog.jobs.status is 'queued, processing, completed, failed or cancelled.';
comment on column catalog.jobs.percentage is 'Progress, 0 to 100; never goes back.';
comment on column catalog.jobs.current_stage is 'The latest stage that has begun, or completed.';
comment on column catalog.jobs.stages_completed is 'Stages that are done, in their order.';
comment on column catalog.jobs.scenes_total is 'Scenes of the plan.';
comment on column catalog.jobs.scenes_done is 'Scenes of the current stage that are done.';
comment on column catalog.jobs.retry_count is 'How often any of its work was tried again.';
comment on column catalog.jobs.created_at is 'When it was requested.';
comment on column catalog.jobs.started_at is 'When its first stage began.';
comment on column catalog.jobs.ended_at is 'When it was completed, failed or cancelled.';
comment on column catalog.jobs.updated_at is 'When its last event was recorded.';
comment on column catalog.jobs.estimated_completion is 'When it is expected to end; null once it has.';
comment on column catalog.jobs.video_id is 'The finished video.';
comment on column catalog.jobs.error_code is 'Why it failed.';
comment on column catalog.jobs.error_message is 'Why it failed, in words.';
comment on column catalog.jobs.error_stage is 'Where it failed.';

comment on column catalog.user_jobs.user_id is 'The user.';
comment on column catalog.user_jobs.status is 'A status of jobs.';
comment on column catalog.user_jobs.priority is 'A priority of jobs.';
comment on column catalog.user_jobs.partition is 'Partition of the log.';
comment on column catalog.user_jobs.jobs is 'How many of the user''s jobs in the partition have both.';

comment on column catalog.stages.job_id is 'The job.';
comment on column catalog.stages.stage is 'The stage.';
comment on column catalog.stages.queued_at is 'When its first work was queued.';
comment on column catalog.stages.started_at is 'When its first work began.';
comment on column catalog.stages.completed_at is 'When all of its work was done.';
comment on column catalog.stages.attempts is 'The most attempts that any of its work has had.';
comment on column catalog.stages.failures is 'Attempts that failed.';
comment on column catalog.stages.retries is 'How often its work was tried again.';

comment on column catalog.scenes.job_id is 'The job.';
comment on column catalog.scenes.scene is 'Its number, from 0.';
comment on column catalog.scenes.title is 'Its heading.';
comment on column catalog.scenes.narration is 'What is spoken.';
comment on column catalog.scenes.status is 'planned, narrated, coded or rendered.';
comment on column catalog.scenes.attempts is 'Attempts at its work so far.';
comment on column catalog.scenes.language is 'What its code is written in.';
comment on column catalog.scenes.code is 'What it is rendered from.';
comment on column catalog.scenes.frames is 'Frames of its clip.';
comment on column catalog.scenes.duration_ms is 'Its length in ms.';
comment on column catalog.scenes.rendered_at is 'When its clip was done.';

comment on column catalog.videos.video_id is 'The video.';
comment on column catalog.videos.job_id is 'Its job.';
comment on column catalog.videos.user_id is 'Whose it is.';
comment on column catalog.videos.duration_ms is 'Length in ms.';
comment on column catalog.videos.width is 'Pixels.';
comment on column catalog.videos.height is 'Pixels.';
comment on column catalog.videos.fps is 'Frames per second.';
comment on column catalog.videos.frames is 'Frames.';
comment on column catalog.videos.video_codec is 'Such as h264.';
comment on column catalog.videos.audio_codec is 'Such as aac.';
comment on column catalog.videos.bitrate is 'Bits per second, all streams.';
comment on column catalog.videos.file_size is 'Bytes.';
comment on column catalog.videos.files is 'Role, key, bytes and blake3 of each stored file.';
comment on column catalog.videos.created_at is 'When its job was completed.';

comment on column catalog.logs.job_id is 'The job.';
comment on column catalog.logs.version is 'Version of the event that says it.';
comment on column catalog.logs.at is 'When.';
comment on column catalog.logs.level is 'debug, info, warning or error.';
comment on column catalog.logs.stage is 'Stage that it is about.';
comment on column catalog.logs.scene is 'Scene that it is about, from 0.';
comment on column catalog.logs.message is 'What happened.';

comment on column catalog.failures.job_id is 'The job.';
comment on column catalog.failures.version is 'Version of the event.';
comment on column catalog.failures.at is 'When.';
comment on column catalog.failures.stage is 'The stage whose work failed.';
comment on column catalog.failures.scene is 'The scene, from 0.';
comment on column catalog.failures.attempt is 'Which attempt, from 1.';
comment on column catalog.failures.code is 'Why, in a stable code.';
comment on column catalog.failures.message is 'Why, in words.';
comment on column catalog.failures.retryable is 'Whether trying again could help.';

comment on column catalog.storage_operations.job_id is 'The job.';
comment on column catalog.storage_operations.version is 'Version of the event.';
comment on column catalog.storage_operations.target is 'Where to.';
comment on column catalog.storage_operations.files is 'How many files.';
comment on column catalog.storage_operations.bytes is 'Bytes of all files.';
comment on column catalog.storage_operations.started_at is 'When the storage stage began.';
comment on column catalog.storage_operations.completed_at is 'When the last file was stored.';

comment on column catalog.hourly_jobs.hour is 'The hour, in UTC.';
comment on column catalog.hourly_jobs.quality is 'low, medium, high or ultra.';
comment on column catalog.hourly_jobs.priority is 'low, normal, high or urgent.';
comment on column catalog.hourly_jobs.partition is 'Partition of the log.';
comment on column catalog.hourly_jobs.requested is 'Jobs requested.';
comment on column catalog.hourly_jobs.started is 'Jobs whose first stage began.';
comment on column catalog.hourly_jobs.completed is 'Jobs completed.';
comment on column catalog.hourly_jobs.failed is 'Jobs failed.';
comment on column catalog.hourly_jobs.cancelled is 'Jobs cancelled.';
comment on column catalog.hourly_jobs.queue_ms is 'Ms that those started had waited.';
comment on column catalog.hourly_jobs.processing_ms is 'Ms that those completed took.';
comment on column catalog.hourly_jobs.video_ms is 'Ms of video completed.';
comment on column catalog.hourly_jobs.frames is 'Frames completed.';
comment on column catalog.hourly_jobs.bytes is 'Bytes completed.';

comment on column catalog.hourly_stages.hour is 'The hour, in UTC.';
comment on column catalog.hourly_stages.stage is 'The stage.';
comment on column catalog.hourly_stages.partition is 'Partition of the log.';
comment on column catalog.hourly_stages.completed is 'Stages completed.';
comment on column catalog.hourly_stages.failed is 'Attempts failed.';
comment on column catalog.hourly_stages.retried is 'Work tried again.';
comment on column catalog.hourly_stages.duration_ms is 'Ms that those completed took.';

comment on column trail.checkpoints.partition is 'Partition of the log.';
comment on column trail.checkpoints.seq is 'Sequence number of the last event that the rows hold.';
comment on column trail.checkpoints.updated_at is 'When it was applied.';

comment on column trail.events.partition is 'Partition of the log.';
comment on column trail.events.seq is 'Its place in the partition, from 1 without a gap.';
comment on column trail.events.event_id is 'The event.';
comment on column trail.events.aggregate is 'job, user or projection.';
comment on column trail.events.aggregate_id is 'What it is about.';
comment on column trail.events.version is 'Its place in that history, from 1 without a gap.';
comment on column trail.events.type is 'Such as JobRequested.';
comment on column trail.events.recorded_at is 'When it was recorded, by the recording process''s clock.';
comment on column trail.events.actor is 'Who caused it: user:ID, worker:NAME or system.';
comment on column trail.events.correlation_id is 'The same for all that one request caused.';
comment on column trail.events.hash is 'BLAKE3 over the event and the hash before it, in hex.';

comment on column audit_seals.partition is 'Partition of the log.';
comment on column audit_seals.seq is 'Sequence number of the last event that is sealed.';
comment on column audit_seals.chain is 'BLAKE3 chain over the hashes of all events up to it, in hex.';
comment on column audit_seals.signed_at is 'When it was signed.';
comment on column audit_seals.key_id is 'Digest of the public key, in hex.';
comment on column audit_seals.signature is 'Ed25519 signature, in hex.';

comment on column user_keys.key_id is 'Named by what was sealed with it.';
comment on column user_keys.user_id is 'Whose content it seals.';
comment on column user_keys.wrapped is 'The key, encrypted with the master key; null once destroyed.';
comment on column user_keys.created_at is 'When it was made.';
comment on column user_keys.destroyed_at is 'When it was destroyed.';
