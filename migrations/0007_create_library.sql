-- Read model `library`: what users keep here, which are uploads and configurations.

create schema library;
comment on schema library is 'Read model `library`: what users keep, uploads and configurations. Derived from the event log.';

create table library.checkpoints (like catalog.checkpoints including all);
comment on table library.checkpoints is 'How far each partition of the log is applied; commits together with the rows.';

create table library.quarantined (like catalog.quarantined including all);
comment on table library.quarantined is 'Aggregates that are passed over, because one of their events cannot be applied.';

create table library.heads (
    aggregate_id uuid primary key,
    partition smallint not null,
    aggregate text not null,
    version bigint not null
);
comment on table library.heads is 'How much of each aggregate the other tables hold, so that a reader can tell whether they are behind.';
comment on column library.heads.aggregate_id is 'A user''s uploads, or a user''s configurations.';
comment on column library.heads.partition is 'Partition of the log.';
comment on column library.heads.aggregate is 'Its kind: uploads or configurations.';
comment on column library.heads.version is 'Version of its last event that the rows hold.';

create table library.uploads (
    upload_id uuid primary key,
    partition smallint not null,
    aggregate_id uuid not null,
    user_id text not null,
    file_name text not null,
    content_type text not null,
    bytes bigint not null,
    sha256 text not null,
    object uuid not null,
    scanned_by text[] not null,
    is_sanitized boolean not null,
    width integer,
    height integer,
    created_at timestamptz not null
);
create index on library.uploads (aggregate_id, created_at desc, upload_id desc);
comment on table library.uploads is 'One row for each uploaded file that was not deleted.';
comment on column library.uploads.upload_id is 'The upload.';
comment on column library.uploads.partition is 'Partition of the log.';
comment on column library.uploads.aggregate_id is 'The uploads of its user.';
comment on column library.uploads.user_id is 'Whose it is.';
comment on column library.uploads.file_name is 'What the user calls it.';
comment on column library.uploads.content_type is 'What it is, by its content; a media type.';
comment on column library.uploads.bytes is 'Bytes of what is stored.';
comment on column library.uploads.sha256 is 'SHA-256 of what is stored, in hex.';
comment on column library.uploads.object is 'The upload under whose id the bytes are stored; several with the same bytes share them.';
comment on column library.uploads.scanned_by is 'What looked for malicious content: built_in, clamav.';
comment on column library.uploads.is_sanitized is 'Whether something harmful was taken out before it was stored.';
comment on column library.uploads.width is 'Pixels, of a picture.';
comment on column library.uploads.height is 'Pixels, of a picture.';
comment on column library.uploads.created_at is 'When it was recorded.';

create table library.configurations (
    configuration_id uuid primary key,
    partition smallint not null,
    aggregate_id uuid not null,
    user_id text not null,
    name text not null,
    version bigint not null,
    settings jsonb not null,
    created_at timestamptz not null,
    updated_at timestamptz not null
);
create index on library.configurations (aggregate_id, created_at desc, configuration_id desc);
comment on table library.configurations is 'One row for each stored configuration that was not deleted.';
comment on column library.configurations.configuration_id is 'The configuration.';
comment on column library.configurations.partition is 'Partition of the log.';
comment on column library.configurations.aggregate_id is 'The configurations of its user.';
comment on column library.configurations.user_id is 'Whose it is.';
comment on column library.configurations.name is 'What the user calls it.';
comment on column library.configurations.version is '1 when it was created; each replacement adds 1.';
comment on column library.configurations.settings is 'Fields of a request, by their names.';
comment on column library.configurations.created_at is 'When it was created.';
comment on column library.configurations.updated_at is 'When it was last replaced.';

comment on column trail.events.aggregate is 'job, user, projection, uploads or configurations.';
