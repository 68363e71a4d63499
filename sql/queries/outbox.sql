-- Triggers that fill the outbox.

-- name: list_triggers
-- Those that are there and work, each with its arguments: hexadecimal, each ended by a zero byte. Whatever is done to a
-- trigger gives it another oid or another version.
SELECT
    nspname AS schema, relname AS table, tgname AS name, encode(tgargs, 'hex') AS arguments,
    pg_trigger.oid::bigint AS oid, pg_trigger.xmin::text::bigint AS version
FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid JOIN pg_namespace ON pg_namespace.oid = relnamespace
JOIN pg_proc ON pg_proc.oid = tgfoid
WHERE pronamespace = to_regnamespace('segue') AND tgname LIKE 'segue\_outbox\_%%' AND tgenabled IN ('O', 'A')

-- name: list_followed
-- Tables with any of the triggers, also disabled ones.
SELECT DISTINCT nspname AS schema, relname AS table
FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid JOIN pg_namespace ON pg_namespace.oid = relnamespace
JOIN pg_proc ON pg_proc.oid = tgfoid
WHERE pronamespace = to_regnamespace('segue') AND tgname LIKE 'segue\_outbox\_%%'
ORDER BY nspname, relname

-- name: describe_table
-- What making triggers on a table, or dropping them, needs. No row: no such table.
SELECT
    relkind IN ('r', 'p') AS is_table,
    current_user::text AS role,
    pg_get_userbyid(relowner)::text AS owner,
    pg_has_role(relowner, 'USAGE') AS is_owner,
    has_table_privilege(pg_class.oid, 'TRIGGER') AS may_make_triggers,
    ARRAY(SELECT attname::text FROM pg_attribute WHERE attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped) AS columns,
    to_regproc('segue.note_tags') IS NOT NULL AS has_functions
FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE nspname = %(schema)s::text AND relname = %(table)s::text

-- name: create_trigger
CREATE OR REPLACE TRIGGER {name} AFTER {event} ON {table} {transition}
FOR EACH STATEMENT EXECUTE FUNCTION {function}({arguments})

-- name: drop_trigger
DROP TRIGGER IF EXISTS {name} ON {table}

-- From the outbox to the log of changes.

-- name: hold_lease
-- Become the one process that relays, or stay it; no row while another one is. Locks the only row to the end of the
-- transaction, so numbers follow each other whoever believes to relay.
UPDATE segue.relay
SET holder = %(holder)s::uuid, held_until = clock_timestamp() + make_interval(secs => %(seconds)s::float8)
WHERE is_only IN (
    SELECT is_only FROM segue.relay
    WHERE holder = %(holder)s::uuid OR held_until IS NULL OR held_until <= clock_timestamp()
    FOR UPDATE SKIP LOCKED
)
RETURNING number

-- name: release_lease
UPDATE segue.relay SET held_until = NULL WHERE holder = %(holder)s::uuid

-- name: forget_noted
DELETE FROM segue.outbox

-- name: is_filled
SELECT EXISTS (SELECT FROM segue.outbox) AS found, clock_timestamp() AS now

-- name: move_batch
-- Move rows of the outbox into the log, all of one kind as one change; one with very many keys names none of them.
-- A row is as old as its transaction's statement, and one that was not there at `empty_at` was committed after that.
WITH moved AS (
    DELETE FROM segue.outbox WHERE ctid = ANY (ARRAY(SELECT ctid FROM segue.outbox LIMIT %(most_rows)s::int))
    RETURNING at, kind, keys
),

total AS (
    SELECT kind, min(at) AS at, bool_or(keys IS NULL) OR sum(cardinality(keys)) > %(most_keys)s::int AS is_any
    FROM moved GROUP BY kind
),

added AS (
    INSERT INTO segue.changes (number, kind, keys, written_at)
    SELECT
        relay.number + row_number() OVER (ORDER BY total.kind),
        total.kind,
        CASE WHEN NOT is_any THEN
            ARRAY(SELECT DISTINCT key FROM moved CROSS JOIN LATERAL unnest(keys) AS key WHERE moved.kind = total.kind)
        END,
        greatest(total.at, %(empty_at)s::timestamptz)
    FROM total CROSS JOIN segue.relay
    RETURNING number
)

SELECT (SELECT count(*) FROM moved) AS rows, (SELECT max(number) FROM added) AS number

-- name: publish_number
-- The one NOTIFY of a batch. Its payload is the newest number, so that a listener knows whether it has that already.
UPDATE segue.relay SET number = %(number)s::bigint
RETURNING pg_notify('segue_changes', %(number)s::bigint::text)

-- name: trim_changes
-- Forget changes that are old and many; the newest ones always stay.
DELETE FROM segue.changes WHERE number IN (
    SELECT number FROM segue.changes
    WHERE number <= (SELECT number FROM segue.relay) - %(keep_rows)s::bigint
    AND relayed_at < clock_timestamp() - make_interval(secs => %(keep_seconds)s::float8)
    ORDER BY number LIMIT %(most_rows)s::int
)

-- What followers read.

-- name: listen
LISTEN segue_changes

-- name: read_state
-- When nothing waits in the outbox, whoever knows all changes up to `number` is up to date as of `now`.
SELECT
    number,
    clock_timestamp() AS now,
    (SELECT min(at) FROM segue.outbox) AS waiting_since,
    coalesce(held_until > clock_timestamp(), false) AS is_relayed
FROM segue.relay

-- name: read_changes
-- From a number on, that one included: it tells whether the log still reaches back, and whether it is the same log.
SELECT number, kind, keys, written_at, relayed_at
FROM segue.changes WHERE number >= %(number)s::bigint ORDER BY number LIMIT %(limit)s::int
