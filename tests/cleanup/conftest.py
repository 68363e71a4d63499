"""A legacy table with everything on its column that a cleanup has to bring back."""

from collections.abc import Callable

import psycopg
import pytest

from tests.crash.conftest import copy_of, sweep, zygotes  # noqa: F401 - fixtures of the kill tests
from tests.crash.state import SONGS

RICH = """
    ALTER TABLE songs ADD COLUMN edited int NOT NULL DEFAULT 0;
    UPDATE songs SET themes = '{}' WHERE themes IS NULL;
    ALTER TABLE songs ALTER COLUMN themes SET DEFAULT ARRAY['100%', 'new']::text[];
    ALTER TABLE songs ALTER COLUMN themes SET NOT NULL;
    ALTER TABLE songs ALTER COLUMN themes SET STORAGE EXTERNAL;
    ALTER TABLE songs ALTER COLUMN themes SET STATISTICS 321;
    ALTER TABLE songs ALTER COLUMN themes SET (n_distinct = -0.5);
    ALTER TABLE songs ADD CONSTRAINT few CHECK (cardinality(themes) < 100);
    ALTER TABLE songs ADD CONSTRAINT fewer CHECK (cardinality(themes) < 3) NOT VALID;
    COMMENT ON CONSTRAINT few ON songs IS 'it''s few';
    COMMENT ON COLUMN songs.themes IS 'what it is about: 100% %s {x}';
    CREATE INDEX by_theme ON songs USING gin (themes);
    COMMENT ON INDEX by_theme IS 'search';
    CREATE INDEX first_theme ON songs ((themes[1])) WHERE themes[1] IS NOT NULL;
    DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'segue_test_reader') THEN
        CREATE ROLE segue_test_reader; END IF; END $$;
    GRANT SELECT (themes) ON songs TO segue_test_reader WITH GRANT OPTION;
    GRANT UPDATE (themes) ON songs TO PUBLIC;
    CREATE FUNCTION count_edit() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN NEW.edited := NEW.edited + 1; RETURN NEW; END $$;
    CREATE TRIGGER count_edit BEFORE UPDATE ON songs FOR EACH ROW EXECUTE FUNCTION count_edit();
    ALTER TABLE songs ENABLE ALWAYS TRIGGER count_edit;
"""


@pytest.fixture
def rich(songs: Callable[..., None], connection: psycopg.Connection) -> None:
    """Make songs whose column has a default, constraints, indexes, comments, privileges; a trigger counts edits."""
    songs(SONGS)
    for statement in [RICH.partition("DO $$")[0], "DO $$" + RICH.partition("DO $$")[2]]:
        connection.execute(statement)
