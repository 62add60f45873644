-- Aggregates that a read model passes over, because one of their events cannot be applied. They are among its tables, so
-- that they change together with the checkpoint. An unfinished edition has no such table: a rebuild begins it again.

drop schema if exists catalog_next cascade;
drop schema if exists catalog_check cascade;
drop schema if exists trail_next cascade;
drop schema if exists trail_check cascade;

create table catalog.quarantined (
    aggregate_id uuid primary key,
    partition smallint not null,
    aggregate text not null,
    seq bigint not null,
    version bigint not null,
    error text not null,
    since timestamptz not null
);
comment on table catalog.quarantined is 'Aggregates that are passed over, because one of their events cannot be applied.';
comment on column catalog.quarantined.aggregate_id is 'The aggregate.';
comment on column catalog.quarantined.partition is 'Partition of the log.';
comment on column catalog.quarantined.aggregate is 'Its kind, such as job.';
comment on column catalog.quarantined.seq is 'Sequence number of the first of its events that is passed over.';
comment on column catalog.quarantined.version is 'Version of that event.';
comment on column catalog.quarantined.error is 'Why an event cannot be applied.';
comment on column catalog.quarantined.since is 'When that was found.';

create table trail.quarantined (like catalog.quarantined including all);
comment on table trail.quarantined is 'Aggregates that are passed over, because one of their events cannot be applied.';
