-- name: read_role
-- Who we are here, and what would end our statements from outside.
SELECT
    current_user AS name,
    current_database() AS database,
    has_database_privilege(current_database(), 'CREATE') AS may_create_schema,
    to_regnamespace(%(schema)s) IS NOT NULL AS has_schema,
    coalesce(has_schema_privilege(to_regnamespace(%(schema)s)::oid, 'CREATE'), false) AS may_create_tables,
    current_setting('default_transaction_read_only')::boolean AS is_read_only,
    (SELECT setting::bigint FROM pg_settings WHERE pg_settings.name = 'statement_timeout') AS statement_timeout_ms,
    coalesce(
        (SELECT setting::bigint FROM pg_settings WHERE pg_settings.name = 'transaction_timeout'), 0
    ) AS transaction_timeout_ms

-- name: read_clock
SELECT clock_timestamp() AS now

-- name: read_connections
SELECT
    current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int AS most,
    count(*) AS used
FROM pg_stat_activity
WHERE backend_type = 'client backend'

-- name: list_old_transactions
-- They keep rows that were deleted or changed since from being cleaned up, and locks from being taken.
SELECT
    pid,
    coalesce(usename, '?') AS role,
    coalesce(nullif(application_name, ''), 'unnamed') AS application,
    coalesce(state, 'unknown') AS state,
    extract(epoch FROM clock_timestamp() - xact_start)::bigint AS seconds,
    format('SELECT pg_terminate_backend(%%s)', pid) AS fix
FROM pg_stat_activity
WHERE
    datname = current_database()
    AND backend_type = 'client backend'
    AND pid <> pg_backend_pid()
    AND xact_start < clock_timestamp() - make_interval(secs => %(seconds)s)
ORDER BY xact_start

-- name: list_prepared_transactions
SELECT
    gid,
    extract(epoch FROM clock_timestamp() - prepared)::bigint AS seconds,
    format('ROLLBACK PREPARED %%L', gid) AS fix
FROM pg_prepared_xacts
WHERE database = current_database() AND prepared < clock_timestamp() - make_interval(secs => %(seconds)s)
ORDER BY prepared

-- name: list_idle_slots
-- A slot that nobody reads keeps all WAL since; a migration writes much of it.
SELECT
    slot_name::text AS name,
    pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint AS bytes,
    format('SELECT pg_drop_replication_slot(%%L)', slot_name) AS fix
FROM pg_replication_slots
WHERE NOT active AND restart_lsn IS NOT NULL
ORDER BY 2 DESC

-- name: list_lagging_standbys
SELECT coalesce(nullif(application_name, ''), 'unnamed') AS name, extract(epoch FROM replay_lag)::bigint AS seconds
FROM pg_stat_replication
WHERE replay_lag > make_interval(secs => %(seconds)s)
ORDER BY replay_lag DESC

-- name: list_invalid_indexes
SELECT index.indexrelid::regclass::text AS name, format('REINDEX INDEX CONCURRENTLY %%s', index.indexrelid::regclass) AS fix
FROM pg_index AS index
JOIN pg_class AS class ON class.oid = index.indexrelid
WHERE class.relnamespace IN (to_regnamespace(%(schema)s)::oid, to_regnamespace('segue')::oid) AND NOT index.indisvalid
ORDER BY 1

-- name: list_foreign_keys_without_index
-- Deleting a referenced row looks through the whole referencing table for each.
SELECT
    con.conrelid::regclass::text AS table_name,
    att.attname::text AS column_name,
    format('CREATE INDEX CONCURRENTLY ON %%s (%%I)', con.conrelid::regclass, att.attname) AS fix
FROM pg_constraint AS con
JOIN pg_attribute AS att ON att.attrelid = con.conrelid AND att.attnum = con.conkey[1]
WHERE
    con.contype = 'f'
    AND con.connamespace = to_regnamespace(%(schema)s)::oid
    AND con.confrelid = ANY(ARRAY[to_regclass(%(tags)s)::oid, to_regclass(%(songs)s)::oid])
    AND NOT EXISTS (
        SELECT FROM pg_index AS index WHERE index.indrelid = con.conrelid AND index.indisvalid AND index.indkey[0] = con.conkey[1]
    )
ORDER BY 1, 2

-- name: list_triggers
SELECT
    trigger.tgrelid::regclass::text AS table_name,
    trigger.tgname::text AS name,
    namespace.nspname = 'segue' AS is_ours,
    trigger.tgrelid = to_regclass(%(songs)s) AS is_on_source,
    trigger.tgenabled = 'D' AS is_disabled
FROM pg_trigger AS trigger
JOIN pg_proc AS proc ON proc.oid = trigger.tgfoid
JOIN pg_namespace AS namespace ON namespace.oid = proc.pronamespace
WHERE
    NOT trigger.tgisinternal
    AND trigger.tgrelid IN (SELECT to_regclass(name)::oid FROM unnest(%(tables)s::text[]) AS name)
ORDER BY 1, 2

-- name: list_tables_without_autovacuum
SELECT class.oid::regclass::text AS name, format('ALTER TABLE %%s RESET (autovacuum_enabled)', class.oid::regclass) AS fix
FROM pg_class AS class
WHERE
    class.oid IN (SELECT to_regclass(name)::oid FROM unnest(%(tables)s::text[]) AS name)
    AND EXISTS (SELECT FROM unnest(class.reloptions) AS option WHERE option IN ('autovacuum_enabled=false', 'autovacuum_enabled=off'))
ORDER BY 1

-- name: read_space
SELECT
    pg_database_size(current_database()) AS database_bytes,
    coalesce(pg_total_relation_size(to_regclass(%(songs)s)), 0) AS source_bytes,
    (SELECT setting FROM pg_settings WHERE pg_settings.name = 'data_directory') AS data_directory

-- name: read_wraparound
-- Transaction ids left before the server refuses to write.
SELECT 2147483647::bigint - age(datfrozenxid)::bigint AS transactions_left
FROM pg_database
WHERE datname = current_database()

-- name: list_extensions
SELECT wanted.name, available.installed_version IS NOT NULL AS is_installed, available.name IS NOT NULL AS is_available
FROM unnest(%(names)s::text[]) AS wanted (name)
LEFT JOIN pg_available_extensions AS available ON available.name = wanted.name

-- name: list_unfinished_runs
SELECT
    run.id,
    run.migration,
    run.status,
    run.error,
    run.holder,
    run.lease_token IS NOT NULL AND segue.is_alive(run.lease_until, run.backend_pid, run.backend_start) AS has_lease,
    extract(
        epoch FROM clock_timestamp()
        - greatest(run.created_at, run.held_since, (SELECT max(checkpoint_at) FROM segue.partitions WHERE run_id = run.id))
    )::bigint AS seconds
FROM segue.runs AS run
WHERE run.status NOT IN ('complete', 'cancelled', 'rolled_back')
ORDER BY run.id

-- name: has_relation
SELECT to_regclass(%(relation)s) IS NOT NULL AS found
