"""What the index is fed with."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from service.freshness import feed
from service.freshness.feed import build_index, current_number, find_companions, load_tags, read_tags
from service.suggest.tag import Tag
from sql.database import Database
from sql.errors import DatabaseError
from sql.schema import upgrade

Connection = psycopg.Connection[Any]
AddTag = Callable[..., UUID]


def test_tags_come_with_their_synonyms_and_without_banned_ones(
    database: Database, connection: Connection, add_tag: AddTag
) -> None:
    """All columns as stored; read by id they are the same, and None where nothing is to be shown."""
    holy, bad = add_tag("Holy Spirit", 7), add_tag("Bad")
    connection.execute("UPDATE tags SET color = '#aabbcc', category = 'mood', is_standard = true WHERE id = %s", [holy])
    connection.execute(
        "INSERT INTO tag_synonyms (synonym, canonical_tag_id) SELECT unnest(ARRAY['ruach', 'Geist', 'ésprit, \"x\"']), %s",
        [holy],
    )
    connection.execute("INSERT INTO segue.banned_tags VALUES (%s, 'bad', 'why', 'me')", [bad])
    gone = str(uuid4())
    synonyms = ("Geist", "ruach", 'ésprit, "x"')
    due = Tag(str(holy), "Holy Spirit", "holy spirit", "mood", "#aabbcc", 7, is_standard=True, synonyms=synonyms)

    assert [due] == list(load_tags(database, "public"))
    assert {str(holy): due, str(bad): None, gone: None} == read_tags(database, "public", [str(holy), str(bad), gone])
    assert {} == read_tags(database, "public", [])


def test_load_is_one_instant(database: Database, connection: Connection) -> None:
    """A tag renamed while the rows arrive comes once, with its old name; memory does not hold them all."""
    connection.execute(
        "INSERT INTO tags (name, normalized_name) SELECT 'T' || n, 't' || n FROM generate_series(1, 5000) AS n"
    )

    tags = load_tags(database, "public")
    first = next(tags)
    connection.execute("UPDATE tags SET name = 'new ' || id, normalized_name = 'new ' || id")
    rest = list(tags)

    assert 5_000 == len({first.id, *(tag.id for tag in rest)}) == 1 + len(rest)
    assert all(tag.name.startswith("T") for tag in rest)


def test_adopted_tables_with_gaps(bare_url: str) -> None:
    """Another schema, names that need quotes, other types, and null where Segue's own tables have a value."""
    database = Database(bare_url)
    with psycopg.connect(bare_url, autocommit=True) as connection:
        connection.execute(
            """
            CREATE SCHEMA "An App";
            CREATE TABLE "An App".tags (id uuid PRIMARY KEY, name varchar(50) UNIQUE, normalized_name varchar(50) UNIQUE,
                category varchar, color varchar, usage_count int, is_standard boolean, created_at timestamp)
            """
        )
        upgrade(database, schema="An App")
        tag_id = str(uuid4())
        connection.execute("""INSERT INTO "An App".tags VALUES (%s, 'Hope', 'hope')""", [tag_id])
    due = Tag(tag_id, "Hope", "hope", "theme", None, 0, is_standard=False)

    assert [due] == list(load_tags(database, "An App"))
    assert {tag_id: due} == read_tags(database, "An App", [tag_id])
    assert {} == find_companions(database, "An App", 10)
    database.close()


def test_companions_are_those_most_often_together(database: Database, connection: Connection, add_tag: AddTag) -> None:
    """Strongest first, ten at most, the same again for every process; songs with very many tags do not count."""
    tags = [str(add_tag(f"T{number}")) for number in range(40)]
    for number in range(1, 13):
        for _ in range(number):
            connection.execute(
                "INSERT INTO song_tags SELECT s, t::uuid FROM (SELECT gen_random_uuid() AS s) AS s, unnest(%s::text[]) AS t",
                [[tags[0], tags[number]]],
            )
    connection.execute("INSERT INTO song_tags SELECT gen_random_uuid(), t::uuid FROM unnest(%s::text[]) AS t", [tags])
    connection.execute(
        "INSERT INTO song_tags SELECT s, t::uuid FROM (SELECT gen_random_uuid() AS s) AS s, unnest(%s::text[]) AS t",
        [tags],
    )

    found = find_companions(database, "public", 10)

    assert found[tags[0]] == tuple(tags[number] for number in range(12, 2, -1))
    assert found[tags[7]] == (tags[0],)
    assert tags[20] not in found
    assert found == find_companions(database, "public", 10)


def test_companions_are_skipped_when_they_take_too_long(
    database: Database, connection: Connection, add_tag: AddTag, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The index does without them; any other failure is one."""
    add_tag("Grace")
    connection.execute("INSERT INTO song_tags SELECT gen_random_uuid(), id FROM tags, generate_series(1, 50000)")

    assert {} == find_companions(database, "public", 0.002)
    with pytest.raises(DatabaseError):
        find_companions(database, "nowhere", 10)
    monkeypatch.setattr(feed, "find_companions", None)
    assert 1 == len(build_index(database, "public", companions_seconds=0))


def test_index_knows_the_last_change(database: Database, connection: Connection, add_tag: AddTag) -> None:
    """Its version is the number of the newest change."""
    grace = add_tag("Grace")
    connection.execute("UPDATE segue.relay SET number = 41")

    index = build_index(database, "public")

    assert 41 == index.version
    assert "Grace" == index.get(str(grace)).name
    with database.transaction() as transaction:
        assert 41 == current_number(transaction)
