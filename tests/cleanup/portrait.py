"""A table as it is to those who use it: everything of every column but its place."""

from typing import Any

import psycopg


def portrait(connection: psycopg.Connection[Any], table: str = "songs", key: str = "id") -> dict[str, Any]:
    """Return columns with all their properties, constraints, indexes, privileges, triggers, and rows as bytes, by name."""

    def rows(query: str) -> list[Any]:
        return connection.execute(query, {"table": table}).fetchall()

    columns = rows(
        "SELECT attname, format_type(atttypid, atttypmod), attnotnull, attcollation, attstorage, attcompression::text,"
        " coalesce(attstattarget, -1), attoptions, attacl::text, col_description(attrelid, attnum),"
        " (SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE adrelid = attrelid AND adnum = attnum)"
        " FROM pg_attribute WHERE attrelid = %(table)s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attname"
    )
    return {
        "columns": columns,
        "constraints": rows(
            "SELECT conname, contype, convalidated, pg_get_constraintdef(oid), obj_description(oid, 'pg_constraint')"
            " FROM pg_constraint WHERE conrelid = %(table)s::regclass ORDER BY 1"
        ),
        "indexes": rows(
            "SELECT pg_get_indexdef(indexrelid), indisvalid, indisclustered, obj_description(indexrelid, 'pg_class')"
            " FROM pg_index WHERE indrelid = %(table)s::regclass ORDER BY 1"
        ),
        "triggers": rows(
            "SELECT pg_get_triggerdef(oid), tgenabled FROM pg_trigger"
            " WHERE tgrelid = %(table)s::regclass AND NOT tgisinternal ORDER BY 1"
        ),
        "acl": rows("SELECT relacl::text FROM pg_class WHERE oid = %(table)s::regclass"),
        "rows": {
            column[0]: connection.execute(
                f"SELECT {key}::text, encode(convert_to(\"{column[0]}\"::text, 'UTF8'), 'hex') FROM {table} ORDER BY 1"
            ).fetchall()
            for column in columns
        },
    }


def leftovers(connection: psycopg.Connection[Any]) -> list[str]:
    """Return what a cleanup makes for itself and must not leave behind."""
    return [
        name
        for (name,) in connection.execute(
            "SELECT tgname::text FROM pg_trigger WHERE tgname LIKE 'segue_archive_%' UNION ALL"
            " SELECT relname::text FROM pg_class WHERE relname ~ '^archive_[0-9]+$' UNION ALL"
            " SELECT attname::text FROM pg_attribute WHERE attname LIKE 'segue_restoring_%' UNION ALL"
            " SELECT conname::text FROM pg_constraint WHERE conname LIKE 'segue_restoring_%' UNION ALL"
            " SELECT 'changes' FROM segue.cleanup_changes"
        ).fetchall()
    ]
