"""An application that has its own tags already: its tables are adopted, used, and given back."""

import uuid

import psycopg

HOPE = str(uuid.UUID(int=77))

TABLES = f"""
    CREATE TABLE songs (id bigint PRIMARY KEY, title text, themes varchar[]);
    CREATE TABLE tags (
        id uuid PRIMARY KEY, name varchar(50) UNIQUE NOT NULL, normalized_name varchar(50) UNIQUE NOT NULL,
        category text NOT NULL, color text, usage_count int NOT NULL DEFAULT 0, is_standard boolean NOT NULL DEFAULT false,
        created_at timestamp NOT NULL DEFAULT '2020-01-01'
    );
    CREATE TABLE song_tags (
        song_id bigint REFERENCES songs ON DELETE CASCADE, tag_id uuid REFERENCES tags ON DELETE CASCADE, added_by text,
        added_at timestamptz DEFAULT '2020-01-01', PRIMARY KEY (song_id, tag_id)
    );
    INSERT INTO songs VALUES (1, 'One', '{{hope,Xmas}}'), (2, 'Two', '{{HOPE,Grace}}'), (3, 'Three', NULL);
    INSERT INTO tags VALUES ('{HOPE}', 'Hope!', 'hope', 'mood', '#123456', 9, true);
    INSERT INTO song_tags VALUES (1, '{HOPE}', 'a person'), (3, '{HOPE}', 'a person');
"""


def test_life_with_adopted_tables(bare_url, segue, snapshot) -> None:
    """The application's tag is used as it is, its links stay, its foreign keys are named in the plan, and rollback restores all."""
    with psycopg.connect(bare_url, autocommit=True) as connection:
        connection.execute(TABLES)
        assert 0 == segue("db", "upgrade", url=bare_url).code
        before = snapshot(of=connection)

        rehearsed = segue("migrate", "--dry-run", "--json", url=bare_url)
        assert before == snapshot(of=connection)
        result = segue("migrate", "--json", url=bare_url)
        links = connection.execute(
            "SELECT song_id, normalized_name, song_tags.run_id FROM song_tags JOIN tags ON tags.id = tag_id ORDER BY 1, 2"
        ).fetchall()
        counts = dict(connection.execute("SELECT normalized_name, usage_count FROM tags").fetchall())
        kept = connection.execute("SELECT name, category FROM tags WHERE id = %s", [HOPE]).fetchone()

        assert (0, 0) == (rehearsed.code, result.code)
        assert "foreign keys" in " ".join(rehearsed.json["notes"])
        assert {"tags": 2, "tag_synonyms": 1, "song_tags": 3} == rehearsed.json["created"] == result.json["created"]
        assert [(1, "christmas", 1), (1, "hope", None), (2, "grace", 1), (2, "hope", 1), (3, "hope", None)] == [
            (song, name, run) for song, name, run in links
        ]
        assert {"hope": 3, "christmas": 1, "grace": 1} == counts
        assert ("Hope!", "mood") == kept
        assert 0 == segue("validate", url=bare_url).code

        assert 0 == segue("rollback", url=bare_url).code
        assert before == snapshot(of=connection)
