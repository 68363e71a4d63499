"""Users of the new version: they link songs to tags and take links away, and a mirror carries that into the arrays.

What is carried has a version, too, so that the ledger knows its order: a trigger of the application's counts it up, and
keeps what Segue itself carries over later, which no user is told of.
"""

import random
from typing import Any

import psycopg

SETUP = """
    CREATE TABLE carried (song bigint, version bigint, themes text[]);
    CREATE FUNCTION count_version() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        NEW.version := OLD.version + 1;
        IF current_setting('application_name') LIKE 'segue%' THEN
            INSERT INTO public.carried VALUES (NEW.id, NEW.version, NEW.themes);
        END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER count_version BEFORE UPDATE ON songs FOR EACH ROW
    WHEN (NEW.version = OLD.version AND NEW.themes IS DISTINCT FROM OLD.themes) EXECUTE FUNCTION count_version();
"""
LINK = "INSERT INTO song_tags (song_id, tag_id) VALUES (%s, %s) ON CONFLICT DO NOTHING"
UNLINK = "DELETE FROM song_tags WHERE song_id = %s AND tag_id = %s"


def link(connection: psycopg.Connection[Any], rng: random.Random, song: int) -> list[Any]:
    """Link a song to a tag, or take one of its links away; return its newest version, as the ledger takes it."""
    try:
        with connection.transaction():
            # Before the run has planned, and after it was taken back, there are no links to speak of.
            ready = "SELECT atttypid = 'bigint'::regtype FROM pg_attribute WHERE attrelid = 'song_tags'::regclass AND attname = 'song_id'"
            if connection.execute(ready).fetchone() != (True,):
                return []
            if rng.random() < 0.5:
                tags = connection.execute("SELECT id FROM tags ORDER BY id LIMIT 40").fetchall()
                query = LINK
            else:
                tags = connection.execute("SELECT tag_id FROM song_tags WHERE song_id = %s", [song]).fetchall()
                query = UNLINK
            if not tags or connection.execute("SELECT 1 FROM songs WHERE id = %s", [song]).fetchone() is None:
                return []
            connection.execute(query, [song, rng.choice(tags)[0]])
            connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
            row = connection.execute("SELECT version, themes FROM songs WHERE id = %s", [song]).fetchone()
    except (psycopg.errors.ForeignKeyViolation, psycopg.errors.DatatypeMismatch):
        return []  # the song or the tag went, or the table is nobody's any more
    return [(song, row[0], row[1], True)] if row else []


def carried(connection: psycopg.Connection[Any]) -> list[Any]:
    """Return what Segue has carried over by itself, as the ledger takes it."""
    rows = connection.execute("SELECT song, version, themes FROM carried").fetchall()
    return [(song, version, themes, True) for song, version, themes in rows]
