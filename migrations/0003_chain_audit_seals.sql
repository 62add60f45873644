-- Each seal signs the digest of the seal before it, so that a seal cannot be taken out or made anew without its followers.
-- Seals from before this have none, and stay valid up to where the chain begins.
alter table audit_seals add column previous text;
create unique index audit_seals_previous on audit_seals (partition, previous) where previous is not null;
comment on column audit_seals.previous is 'Digest of the seal before it, in hex; 64 zeros for the first; null in seals from before the chain.';

-- 2: the key is wrapped together with the user's id and its own. Keys of form 1 are wrapped anew when a process starts.
alter table user_keys add column form smallint not null default 1;
comment on column user_keys.form is 'What is authenticated with the wrapped key: 1 its id, 2 the user''s id and its own.';
