-- name: describe_tables
-- Each table: whose it is, whether it holds rows, its constraints and its other indexes.
SELECT
    ours.name,
    NOT ours.is_adopted AS is_ours,
    coalesce(
        (
            SELECT jsonb_agg(
                jsonb_build_object('name', guard.conname, 'kind', guard.contype, 'definition', pg_get_constraintdef(guard.oid))
                ORDER BY guard.contype DESC, guard.conname
            )
            FROM pg_constraint AS guard
            WHERE guard.conrelid = class.oid AND guard.contype IN ('p', 'u', 'f')
        ),
        '[]'
    ) AS constraints,
    coalesce(
        (
            SELECT jsonb_agg(
                jsonb_build_object('name', own.relname, 'definition', pg_get_indexdef(index.indexrelid)) ORDER BY own.relname
            )
            FROM pg_index AS index
            JOIN pg_class AS own ON own.oid = index.indexrelid
            WHERE
                index.indrelid = class.oid
                AND NOT EXISTS (SELECT FROM pg_constraint AS guard WHERE guard.conindid = index.indexrelid AND guard.conrelid = class.oid)
        ),
        '[]'
    ) AS indexes
FROM segue.tables AS ours
JOIN pg_class AS class ON class.relname = ours.name
JOIN pg_namespace AS namespace ON namespace.oid = class.relnamespace AND namespace.nspname = ours.schema_name
WHERE ours.name = ANY(%(names)s)
ORDER BY ours.name

-- name: is_empty
SELECT NOT EXISTS (SELECT FROM {target}) AS found

-- name: drop_constraint
ALTER TABLE {target} DROP CONSTRAINT IF EXISTS {name}

-- name: drop_index
DROP INDEX IF EXISTS {name}

-- name: create_index
{definition}

-- name: add_constraint
ALTER TABLE {target} ADD CONSTRAINT {name} {definition}

-- name: validate_constraint
ALTER TABLE {target} VALIDATE CONSTRAINT {name}

-- name: list_constraints
SELECT guard.conname AS name, guard.convalidated AS is_valid
FROM pg_constraint AS guard
WHERE guard.conrelid = %(target)s::regclass
