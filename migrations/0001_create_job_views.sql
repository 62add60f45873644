-- Read models of the `catalog` projection. All rows are derived from the event log and can be
-- dropped and filled again; `version` is the version of the job's last event that the row holds.

create table projection_checkpoints (
    projection text not null,
    partition smallint not null,
    seq bigint not null,
    updated_at timestamptz not null default now(),
    primary key (projection, partition)
);
comment on table projection_checkpoints is 'How far each projection has read each partition; written with its rows.';

create table jobs (
    job_id uuid primary key,
    version bigint not null,
    user_id text not null,
    topic text not null,
    title text,
    quality text not null,
    priority text not null,
    status text not null check (status in ('queued', 'processing', 'completed', 'failed', 'cancelled')),
    percentage double precision not null,
    current_stage text not null,
    created_at timestamptz not null,
    started_at timestamptz,
    ended_at timestamptz,
    updated_at timestamptz not null,
    error_code text,
    error_message text,
    error_stage text
);
comment on table jobs is 'One row for each job.';
create index jobs_by_user on jobs (user_id, created_at desc);
create index jobs_by_status on jobs (status, created_at desc);

create table stages (
    job_id uuid not null,
    stage text not null,
    started_at timestamptz,
    completed_at timestamptz,
    attempts integer not null,
    primary key (job_id, stage)
);
comment on table stages is 'When each stage of a job began and ended.';

create table videos (
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
comment on table videos is 'Finished videos, as read back from their files. `files` lists role, key, bytes and blake3 of each stored file.';
