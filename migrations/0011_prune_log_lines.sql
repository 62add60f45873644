-- Retention asks for the oldest completed jobs that still have files, and removes old log lines. An unfinished edition lacks the
-- new table: a rebuild begins it again.

drop schema if exists catalog_next cascade;
drop schema if exists catalog_check cascade;

create index on catalog.jobs (ended_at) where status = 'completed' and files_removed_at is null and deleted_at is null;

create table catalog.pruned (
    table_name text primary key,
    before timestamptz not null
);
comment on table catalog.pruned is 'Up to when old rows of a table were removed (`retention.log_line_hours`). Comparing editions leaves these out.';
comment on column catalog.pruned.table_name is 'The table, without its schema.';
comment on column catalog.pruned.before is 'Rows from before this time were removed.';
create index on catalog.logs using brin (at);
