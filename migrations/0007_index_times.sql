-- What happened in a period is asked for by minute, and by whoever looks at the system now.

create index on catalog.jobs (started_at) where started_at is not null;
create index on catalog.jobs (ended_at) where ended_at is not null;
create index on catalog.stages (completed_at) where completed_at is not null;
