-- The views of analysts, over the served edition of the catalog. Run at every start, and again whenever another edition
-- is served: a view names its tables once and for all. Columns may be added at the end; none may change or go.

create schema if not exists analytics;

create or replace view analytics.job_facts as
select
    job_id,
    user_id,
    created_at,
    started_at,
    ended_at,
    status,
    quality,
    priority,
    output_format,
    scenes_total as scenes,
    retry_count as retries,
    error_code,
    error_stage,
    greatest(0, extract(epoch from started_at - created_at))::double precision as queue_seconds,
    greatest(0, extract(epoch from ended_at - started_at))::double precision as processing_seconds,
    (select v.duration_ms / 1000.0 from catalog.videos v where v.job_id = j.job_id)::double precision as video_seconds,
    (select v.file_size from catalog.videos v where v.job_id = j.job_id) as video_bytes
from catalog.jobs j;
comment on view analytics.job_facts is 'One row for each job: what was asked for, what became of it, and how long it took. No words of users.';
comment on column analytics.job_facts.job_id is 'The job.';
comment on column analytics.job_facts.user_id is 'Who asked for it, as the issuer of session tokens names them.';
comment on column analytics.job_facts.created_at is 'When it was requested.';
comment on column analytics.job_facts.started_at is 'When its first stage began; null while it waits.';
comment on column analytics.job_facts.ended_at is 'When it was completed, failed or cancelled; null before.';
comment on column analytics.job_facts.status is 'queued, processing, completed, failed or cancelled.';
comment on column analytics.job_facts.quality is 'low, medium, high or ultra.';
comment on column analytics.job_facts.priority is 'low, normal, high or urgent.';
comment on column analytics.job_facts.output_format is 'mp4, mov, webm or avi.';
comment on column analytics.job_facts.scenes is 'How many scenes its plan has; 0 before it is planned.';
comment on column analytics.job_facts.retries is 'How often any of its work was tried again.';
comment on column analytics.job_facts.error_code is 'Why it failed; null unless it did.';
comment on column analytics.job_facts.error_stage is 'The stage in which it failed; null unless it did.';
comment on column analytics.job_facts.queue_seconds is 'Seconds from the request to the first stage.';
comment on column analytics.job_facts.processing_seconds is 'Seconds from the first stage to the end.';
comment on column analytics.job_facts.video_seconds is 'Length of the video in seconds; null without one.';
comment on column analytics.job_facts.video_bytes is 'Size of the video file in bytes; null without one.';

create or replace view analytics.stage_durations as
select
    s.job_id as job_id,
    s.stage as stage,
    s.queued_at as queued_at,
    s.started_at as started_at,
    s.completed_at as completed_at,
    greatest(0, extract(epoch from s.started_at - s.queued_at))::double precision as waited_seconds,
    greatest(0, extract(epoch from s.completed_at - s.started_at))::double precision as duration_seconds,
    s.attempts as attempts,
    s.failures as failures,
    s.retries as retries,
    (s.cpu_ms / 1000.0)::double precision as cpu_seconds,
    (s.busy_ms / 1000.0)::double precision as busy_seconds
from catalog.stages s;
comment on view analytics.stage_durations is 'One row for each stage of each job.';
comment on column analytics.stage_durations.job_id is 'The job.';
comment on column analytics.stage_durations.stage is 'initializing, planning, scenario_creation, code_generation, rendering, combining or storage.';
comment on column analytics.stage_durations.queued_at is 'When its first work was queued.';
comment on column analytics.stage_durations.started_at is 'When its first work began; null while it waits.';
comment on column analytics.stage_durations.completed_at is 'When all of its work was done; null before.';
comment on column analytics.stage_durations.waited_seconds is 'Seconds its first work waited for a worker.';
comment on column analytics.stage_durations.duration_seconds is 'Seconds from its beginning to its end, retries included.';
comment on column analytics.stage_durations.attempts is 'The most attempts that any of its work has had.';
comment on column analytics.stage_durations.failures is 'How many attempts failed.';
comment on column analytics.stage_durations.retries is 'How often its work was tried again.';
comment on column analytics.stage_durations.cpu_seconds is 'CPU time of all attempts at its work, child processes included; 0 for stages that were not measured.';
comment on column analytics.stage_durations.busy_seconds is 'Seconds from the beginning to the end of each attempt at its work, together; 0 for stages that were not measured.';

create or replace view analytics.failures as
select
    f.job_id as job_id,
    f.version as version,
    f.at as at,
    date_trunc('hour', f.at) as hour,
    f.stage as stage,
    f.scene as scene,
    f.attempt as attempt,
    f.code as code,
    f.retryable as retryable
from catalog.failures f;
comment on view analytics.failures is 'One row for each attempt that failed, whether it was tried again or not.';
comment on column analytics.failures.job_id is 'The job.';
comment on column analytics.failures.version is 'Version of the job at which it is recorded.';
comment on column analytics.failures.at is 'When it failed.';
comment on column analytics.failures.hour is 'The hour of it, in the session''s time zone.';
comment on column analytics.failures.stage is 'The stage whose work failed.';
comment on column analytics.failures.scene is 'The scene, from 0; null when the stage is done in one piece.';
comment on column analytics.failures.attempt is 'Which attempt it was, from 1.';
comment on column analytics.failures.code is 'Why, in a stable code such as DISK_FULL.';
comment on column analytics.failures.retryable is 'Whether trying again could help.';

create or replace view analytics.retries as
select
    s.job_id as job_id,
    s.stage as stage,
    s.retries as retries,
    s.attempts as attempts,
    s.completed_at is not null as succeeded,
    s.queued_at as queued_at
from catalog.stages s where s.retries > 0;
comment on view analytics.retries is 'One row for each stage of a job that was tried again.';
comment on column analytics.retries.job_id is 'The job.';
comment on column analytics.retries.stage is 'The stage.';
comment on column analytics.retries.retries is 'How often its work was tried again.';
comment on column analytics.retries.attempts is 'The most attempts that any of its work has had.';
comment on column analytics.retries.succeeded is 'Whether the stage was completed in the end.';
comment on column analytics.retries.queued_at is 'When its first work was queued.';

create or replace view analytics.queue_times as
select
    job_id,
    priority,
    created_at,
    started_at,
    greatest(0, extract(epoch from started_at - created_at))::double precision as queue_seconds
from catalog.jobs where started_at is not null;
comment on view analytics.queue_times is 'One row for each job that has begun: how long it waited.';
comment on column analytics.queue_times.job_id is 'The job.';
comment on column analytics.queue_times.priority is 'low, normal, high or urgent.';
comment on column analytics.queue_times.created_at is 'When it was requested.';
comment on column analytics.queue_times.started_at is 'When its first stage began.';
comment on column analytics.queue_times.queue_seconds is 'Seconds from the request to the first stage.';

create or replace view analytics.throughput_hourly as
select
    hour,
    quality,
    priority,
    sum(requested)::bigint as requested,
    sum(started)::bigint as started,
    sum(completed)::bigint as completed,
    sum(failed)::bigint as failed,
    sum(cancelled)::bigint as cancelled,
    (sum(queue_ms) / 1000.0)::double precision as queue_seconds,
    (sum(processing_ms) / 1000.0)::double precision as processing_seconds,
    (sum(video_ms) / 1000.0)::double precision as video_seconds,
    sum(frames)::bigint as frames,
    sum(bytes)::bigint as bytes
from catalog.hourly_jobs group by hour, quality, priority;
comment on view analytics.throughput_hourly is 'Hourly figures of jobs, kept with every event.';
comment on column analytics.throughput_hourly.hour is 'The hour, in UTC.';
comment on column analytics.throughput_hourly.quality is 'low, medium, high or ultra.';
comment on column analytics.throughput_hourly.priority is 'low, normal, high or urgent.';
comment on column analytics.throughput_hourly.requested is 'Jobs requested in the hour.';
comment on column analytics.throughput_hourly.started is 'Jobs whose first stage began in the hour.';
comment on column analytics.throughput_hourly.completed is 'Jobs completed in the hour.';
comment on column analytics.throughput_hourly.failed is 'How often a job failed in the hour; one that is begun again may fail again.';
comment on column analytics.throughput_hourly.cancelled is 'Jobs cancelled in the hour.';
comment on column analytics.throughput_hourly.queue_seconds is 'Seconds that the jobs started in the hour had waited, in all.';
comment on column analytics.throughput_hourly.processing_seconds is 'Seconds that the jobs completed in the hour took, in all.';
comment on column analytics.throughput_hourly.video_seconds is 'Seconds of video completed in the hour.';
comment on column analytics.throughput_hourly.frames is 'Frames of video completed in the hour.';
comment on column analytics.throughput_hourly.bytes is 'Bytes of video files completed in the hour.';

create or replace view analytics.stages_hourly as
select
    hour,
    stage,
    sum(completed)::bigint as completed,
    sum(failed)::bigint as failed,
    sum(retried)::bigint as retried,
    (sum(duration_ms) / 1000.0)::double precision as duration_seconds
from catalog.hourly_stages group by hour, stage;
comment on view analytics.stages_hourly is 'Hourly figures of stages, kept with every event.';
comment on column analytics.stages_hourly.hour is 'The hour, in UTC.';
comment on column analytics.stages_hourly.stage is 'The stage.';
comment on column analytics.stages_hourly.completed is 'How often it was completed in the hour.';
comment on column analytics.stages_hourly.failed is 'Attempts at its work that failed in the hour.';
comment on column analytics.stages_hourly.retried is 'How often its work was tried again in the hour.';
comment on column analytics.stages_hourly.duration_seconds is 'Seconds that those completed in the hour took, in all.';

create or replace view analytics.storage_operations as
select
    o.job_id as job_id,
    o.target as target,
    o.files as files,
    o.bytes as bytes,
    o.started_at as started_at,
    o.completed_at as completed_at,
    greatest(0, extract(epoch from o.completed_at - o.started_at))::double precision as duration_seconds,
    (o.bytes / nullif(greatest(0, extract(epoch from o.completed_at - o.started_at)), 0))::double precision as bytes_per_second
from catalog.storage_operations o;
comment on view analytics.storage_operations is 'One row for each upload of a finished video''s files.';
comment on column analytics.storage_operations.job_id is 'The job.';
comment on column analytics.storage_operations.target is 'Where to; so far: local.';
comment on column analytics.storage_operations.files is 'How many files.';
comment on column analytics.storage_operations.bytes is 'Bytes of all files.';
comment on column analytics.storage_operations.started_at is 'When the storage stage began.';
comment on column analytics.storage_operations.completed_at is 'When the last file was stored.';
comment on column analytics.storage_operations.duration_seconds is 'Seconds between the two.';
comment on column analytics.storage_operations.bytes_per_second is 'Bytes by seconds; null for an upload without duration.';

create or replace view analytics.render_speed as
select
    v.job_id as job_id,
    j.quality as quality,
    v.width as width,
    v.height as height,
    v.frames as frames,
    greatest(0, extract(epoch from s.completed_at - s.started_at))::double precision as rendering_seconds,
    (v.frames / nullif(greatest(0, extract(epoch from s.completed_at - s.started_at)), 0))::double precision as frames_per_second,
    (v.duration_ms / 1000.0 / nullif(greatest(0, extract(epoch from s.completed_at - s.started_at)), 0))::double precision as times_realtime,
    v.created_at as completed_at
from catalog.videos v join catalog.jobs j using (job_id) join catalog.stages s on s.job_id = v.job_id and s.stage = 'rendering';
comment on view analytics.render_speed is 'One row for each video that is rendered: how fast.';
comment on column analytics.render_speed.job_id is 'The job.';
comment on column analytics.render_speed.quality is 'low, medium, high or ultra.';
comment on column analytics.render_speed.width is 'Pixels.';
comment on column analytics.render_speed.height is 'Pixels.';
comment on column analytics.render_speed.frames is 'Frames of the video.';
comment on column analytics.render_speed.rendering_seconds is 'Seconds that the rendering stage took.';
comment on column analytics.render_speed.frames_per_second is 'Frames by seconds of rendering.';
comment on column analytics.render_speed.times_realtime is 'Seconds of video for each second of rendering.';
comment on column analytics.render_speed.completed_at is 'When the video was completed.';

-- Who may read them, and nothing else: `grant reel_analyst to NAME`.
do $$
begin
    if not exists (select from pg_roles where rolname = 'reel_analyst') then
        create role reel_analyst nologin;
    end if;
    grant usage on schema analytics to reel_analyst;
    grant select on all tables in schema analytics to reel_analyst;
exception
    when insufficient_privilege or duplicate_object or unique_violation then
        raise warning 'the role reel_analyst could not be set up: %', sqlerrm;
end
$$;
