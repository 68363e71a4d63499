-- name: describe_table
-- What the table is, and whether this role may do what a cleanup does.
SELECT
    class.oid::bigint AS oid,
    class.relkind::text AS kind,
    class.relispartition
    OR EXISTS (SELECT FROM pg_inherits AS child WHERE class.oid IN (child.inhrelid, child.inhparent)) AS has_relatives,
    pg_get_userbyid(class.relowner)::text AS owner,
    pg_has_role(class.relowner, 'USAGE') AS may_alter,
    current_user::text AS role,
    has_schema_privilege('segue', 'CREATE') AS may_archive,
    has_function_privilege('pg_create_restore_point(text)', 'EXECUTE') AS may_mark,
    current_setting('wal_level') AS wal_level,
    coalesce(
        (
            SELECT array_agg(rule.rulename::text ORDER BY rule.rulename)
            FROM pg_rewrite AS rule WHERE rule.ev_class = class.oid AND rule.rulename <> '_RETURN'
        ),
        '{{}}'
    ) AS rules
FROM pg_class AS class
WHERE class.oid = to_regclass(%(table_name)s)::oid

-- name: describe_column
-- Everything that DROP COLUMN takes away, in the words that make it again.
SELECT
    att.attnum AS position,
    (
        SELECT before.attname::text FROM pg_attribute AS before
        WHERE before.attrelid = att.attrelid AND before.attnum BETWEEN 1 AND att.attnum - 1 AND NOT before.attisdropped
        ORDER BY before.attnum DESC
        LIMIT 1
    ) AS after_column,
    format_type(att.atttypid, att.atttypmod) AS type,
    att.attnotnull AS is_not_null,
    att.attgenerated <> '' AS is_generated,
    pg_get_expr(def.adbin, def.adrelid) AS default,
    (
        SELECT format('%%I.%%I', space.nspname, known.collname)
        FROM pg_collation AS known JOIN pg_namespace AS space ON space.oid = known.collnamespace
        WHERE known.oid = att.attcollation AND att.attcollation <> type.typcollation
    ) AS collation,
    CASE WHEN att.attstorage <> type.typstorage THEN
        CASE att.attstorage WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL' WHEN 'x' THEN 'EXTENDED' WHEN 'm' THEN 'MAIN' END
    END AS storage,
    CASE att.attcompression WHEN 'p' THEN 'pglz' WHEN 'l' THEN 'lz4' END AS compression,
    nullif(att.attstattarget, -1) AS statistics,
    att.attoptions::text[] AS options,
    col_description(att.attrelid, att.attnum) AS comment,
    coalesce(
        (
            SELECT jsonb_agg(
                jsonb_build_object(
                    'role', CASE WHEN acl.grantee <> 0 THEN pg_get_userbyid(acl.grantee) END,
                    'privilege', acl.privilege_type,
                    'may_grant', acl.is_grantable
                ) ORDER BY acl.ordinality
            )
            FROM aclexplode(att.attacl) WITH ORDINALITY AS acl
        ),
        '[]'
    ) AS grants,
    coalesce(
        (
            SELECT jsonb_agg(
                jsonb_build_object(
                    'oid', con.oid::bigint, 'name', con.conname, 'kind', con.contype, 'is_valid', con.convalidated,
                    'definition', pg_get_constraintdef(con.oid), 'comment', obj_description(con.oid, 'pg_constraint')
                ) ORDER BY con.conname
            )
            FROM pg_constraint AS con
            WHERE con.conrelid = att.attrelid AND con.conkey = ARRAY[att.attnum]
        ),
        '[]'
    ) AS constraints,
    coalesce(
        (
            SELECT jsonb_agg(
                jsonb_build_object(
                    'oid', index.indexrelid::bigint, 'name', own.relname, 'definition', pg_get_indexdef(index.indexrelid),
                    'comment', obj_description(index.indexrelid, 'pg_class'), 'is_clustered', index.indisclustered
                ) ORDER BY own.relname
            )
            FROM pg_index AS index JOIN pg_class AS own ON own.oid = index.indexrelid
            WHERE
                index.indrelid = att.attrelid
                AND index.indisvalid AND NOT index.indisreplident
                AND NOT EXISTS (SELECT FROM pg_constraint AS con WHERE con.conindid = index.indexrelid)
                AND EXISTS (
                    SELECT FROM pg_depend AS dep
                    WHERE
                        dep.classid = 'pg_class'::regclass AND dep.objid = index.indexrelid
                        AND dep.refobjid = att.attrelid AND dep.refobjsubid = att.attnum
                )
                AND NOT EXISTS (
                    SELECT FROM pg_depend AS dep
                    WHERE
                        dep.classid = 'pg_class'::regclass AND dep.objid = index.indexrelid
                        AND dep.refclassid = 'pg_class'::regclass AND dep.refobjid = att.attrelid
                        -- An index of expressions alone depends on the table, too; one on whole rows shows it.
                        AND dep.refobjsubid <> att.attnum
                        AND (dep.refobjsubid <> 0 OR pg_get_indexdef(index.indexrelid) LIKE '%%.*%%')
                )
        ),
        '[]'
    ) AS indexes
FROM pg_attribute AS att
JOIN pg_type AS type ON type.oid = att.atttypid
LEFT JOIN pg_attrdef AS def ON def.adrelid = att.attrelid AND def.adnum = att.attnum
WHERE att.attrelid = %(oid)s::oid AND att.attname = %(column)s AND att.attnum > 0 AND NOT att.attisdropped

-- name: list_dependents
-- What PostgreSQL knows to use the column, but for what goes and comes back with it ({own}) and Segue's own triggers.
SELECT DISTINCT
    CASE WHEN rule.oid IS NULL THEN known.type ELSE CASE class.relkind WHEN 'm' THEN 'materialized view' ELSE 'view' END END AS kind,
    CASE WHEN rule.oid IS NULL THEN known.identity ELSE class.oid::regclass::text END AS name
FROM pg_depend AS dep
CROSS JOIN LATERAL pg_identify_object(dep.classid, dep.objid, dep.objsubid) AS known
LEFT JOIN pg_rewrite AS rule ON dep.classid = 'pg_rewrite'::regclass AND rule.oid = dep.objid AND rule.rulename = '_RETURN'
LEFT JOIN pg_class AS class ON class.oid = rule.ev_class
WHERE
    dep.refclassid = 'pg_class'::regclass AND dep.refobjid = %(oid)s::oid AND dep.refobjsubid = %(position)s
    AND NOT (dep.classid IN ('pg_constraint'::regclass, 'pg_class'::regclass) AND dep.objid = ANY(%(own)s::bigint[]::oid[]))
    AND NOT EXISTS (
        SELECT FROM pg_attrdef AS def
        WHERE
            dep.classid = 'pg_attrdef'::regclass AND def.oid = dep.objid
            AND def.adrelid = dep.refobjid AND def.adnum = dep.refobjsubid
    )
    AND NOT EXISTS (
        SELECT FROM pg_trigger AS trigger
        JOIN pg_proc AS proc ON proc.oid = trigger.tgfoid
        WHERE
            dep.classid = 'pg_trigger'::regclass AND trigger.oid = dep.objid
            AND proc.pronamespace = to_regnamespace('segue')::oid
    )
ORDER BY 1, 2

-- name: list_mentions
-- Functions whose text names the column. PostgreSQL does not know what they use; a trigger on the table itself would fail.
SELECT
    proc.oid::regprocedure::text AS name,
    (
        SELECT min(trigger.tgname::text) FROM pg_trigger AS trigger
        WHERE trigger.tgfoid = proc.oid AND trigger.tgrelid = %(oid)s::oid AND trigger.tgenabled <> 'D'
    ) AS trigger
FROM pg_proc AS proc
JOIN pg_namespace AS space ON space.oid = proc.pronamespace
JOIN pg_language AS language ON language.oid = proc.prolang
WHERE
    space.nspname NOT IN ('pg_catalog', 'information_schema', 'segue')
    AND language.lanname NOT IN ('c', 'internal')
    AND proc.prosrc ~* ('\m' || regexp_replace(%(column)s, '([^\w])', '\\\1', 'g') || '\M')
    AND NOT EXISTS (
        SELECT FROM pg_depend AS dep
        WHERE dep.deptype = 'e' AND dep.classid = 'pg_proc'::regclass AND dep.objid = proc.oid
    )
ORDER BY 1

-- name: measure_column
SELECT count(*) AS row_count, coalesce(sum(pg_column_size({column})), 0)::bigint AS bytes FROM {table}
