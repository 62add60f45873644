-- Who reads for a user sees that user's rows only, whatever a query forgets. The API reads as `reel_reader`, with the user's id
-- in `reel.user_id` and the ids of their uploads and configurations in `reel.aggregates`, for one transaction
-- (`src/projections/reader.rs`). A table that is not named here cannot be read so at all.

do $$
begin
    if not exists (select from pg_roles where rolname = 'reel_reader') then
        begin
            create role reel_reader nologin;
        exception
            -- Roles are of the server, and another database of it may just have made this one.
            when duplicate_object or unique_violation then null;
        end;
    end if;
    if not pg_has_role(current_user, 'reel_reader', 'member') then
        execute format('grant reel_reader to %I', current_user);
    end if;
    if not (has_schema_privilege('reel_reader', 'catalog', 'usage') and has_schema_privilege('reel_reader', 'library', 'usage')) then
        grant usage on schema catalog, library to reel_reader;
    end if;
end $$;

do $$
declare
    shown record;
begin
    for shown in
        select wanted.relation, wanted.rows from (values
            ('catalog.jobs', 'user_id = current_setting(''reel.user_id'', true)'),
            ('catalog.user_jobs', 'user_id = current_setting(''reel.user_id'', true)'),
            ('catalog.batches', 'user_id = current_setting(''reel.user_id'', true)'),
            ('catalog.videos', 'user_id = current_setting(''reel.user_id'', true)'),
            -- Row by row, so that the jobs are never read as a whole.
            ('catalog.stages', '(select j.user_id from catalog.jobs j where j.job_id = stages.job_id) = current_setting(''reel.user_id'', true)'),
            ('catalog.scenes', '(select j.user_id from catalog.jobs j where j.job_id = scenes.job_id) = current_setting(''reel.user_id'', true)'),
            ('catalog.logs', '(select j.user_id from catalog.jobs j where j.job_id = logs.job_id) = current_setting(''reel.user_id'', true)'),
            ('library.uploads', 'user_id = current_setting(''reel.user_id'', true)'),
            ('library.configurations', 'user_id = current_setting(''reel.user_id'', true)'),
            ('library.heads', 'aggregate_id::text = any(string_to_array(current_setting(''reel.aggregates'', true), '',''))')
        ) as wanted (relation, rows)
        -- A rebuild's switch brings new tables in. Whoever reads one that has its policy is not kept waiting.
        where not exists (
            select from pg_policy where polrelid = wanted.relation::regclass and polname = 'rows_of_one_user'
        )
    loop
        execute format('alter table %s enable row level security', shown.relation);
        execute format('create policy rows_of_one_user on %s for select to reel_reader using (%s)', shown.relation, shown.rows);
        execute format('grant select on %s to reel_reader', shown.relation);
    end loop;
end $$;
