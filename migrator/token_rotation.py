"""Bringing stored tokens under the newest key: in bounded batches, each its own transaction, safe to repeat."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from psycopg import sql as psql
from psycopg.types.json import Jsonb

from migrator.errors import Stopped
from migrator.retry import retrying
from migrator.stop import StopSignal
from migrator.token_keys import TokenKeys, UndecryptableToken
from sql.database import Database, Row, Transaction

#: Rows locked and written by one transaction.
BATCH_ROWS = 500
#: Users named in the report.
MOST_NAMED = 1_000

COLUMNS = ("access_token", "refresh_token")


@dataclass
class Rotation:
    """What a rotation did.

    Attributes:
        rotated: rows of spotify_tokens that are now under the newest key.
        already: rows that were before.
        undecryptable: rows that no given key opens; they are as they were.
        users: ids (`users.id`) of those, at most `MOST_NAMED`.
        images_rotated, images_undecryptable: the same of the journal's images of such rows.
    """

    rotated: int = 0
    already: int = 0
    undecryptable: int = 0
    users: list[str] = field(default_factory=list)
    images_rotated: int = 0
    images_undecryptable: int = 0

    @property
    def is_complete(self) -> bool:
        """Whether the older keys are needed no more."""
        return not self.undecryptable and not self.images_undecryptable

    def name(self, user_ids: Iterable[str]) -> None:
        """Name users whose tokens cannot be decrypted."""
        for user_id in user_ids:
            if len(self.users) < MOST_NAMED and user_id not in self.users:
                self.users.append(user_id)


@dataclass(frozen=True)
class _Batch:
    """What one transaction did: rows written, users whose rows stay, and where to go on (None at the end)."""

    written: int
    left: list[str]
    after: tuple[object, ...] | None


def rotate(
    database: Database, schema: str, keys: TokenKeys, stop: StopSignal, *, batch_rows: int = BATCH_ROWS
) -> Rotation:
    """Encrypt every token again that is not under the newest key.

    The journal's images follow: encryption is deterministic, so a row that equalled its image before equals it after,
    and what a rollback puts back can be read with the newest key alone.

    Raises:
        Stopped: by a signal, after the current batch; call again to go on.
    """
    names = {name: psql.Identifier(schema, name) for name in ("spotify_tokens", "users")}
    result = Rotation()
    for batch in _batches(database, _rotate_rows, names, keys, stop, batch_rows):
        result.rotated += batch.written
        result.undecryptable += len(batch.left)
        result.name(batch.left)
    for batch in _batches(database, _rotate_images, names, keys, stop, batch_rows):
        result.images_rotated += batch.written
        result.images_undecryptable += len(batch.left)
        result.name(batch.left)
    with database.transaction() as transaction:
        under = transaction.one("tokens.count_under_key", names, newest=keys.newest_id)["found"]
    result.already = max(under - result.rotated, 0)
    return result


def _batches(
    database: Database,
    rotate_batch: Callable[
        [Transaction, Mapping[str, psql.Composable], TokenKeys, tuple[object, ...] | None, int], _Batch
    ],
    names: Mapping[str, psql.Composable],
    keys: TokenKeys,
    stop: StopSignal,
    batch_rows: int,
) -> Iterator[_Batch]:
    after: tuple[object, ...] | None = None

    def run() -> _Batch:
        with database.transaction() as transaction:
            return rotate_batch(transaction, names, keys, after, batch_rows)

    while True:
        if stop.is_set:
            raise Stopped(stop.reason or "stop")
        batch = retrying(run, 0, (), stop)
        yield batch
        if batch.after is None:
            return
        after = batch.after


def _rotate_rows(
    transaction: Transaction,
    names: Mapping[str, psql.Composable],
    keys: TokenKeys,
    after: tuple[object, ...] | None,
    most: int,
) -> _Batch:
    newest = keys.newest_id
    found = transaction.all("tokens.lock_batch", names, after=after[0] if after else None, newest=newest, most=most)
    again = {row["user_id"]: _again(keys, row["spotify_id"], row) for row in found}
    good = {user_id: image for user_id, image in again.items() if image is not None}
    if good:
        transaction.run(
            "tokens.save_batch",
            names,
            newest=newest,
            user_ids=list(good),
            **{f"{column}s": [image[column] for image in good.values()] for column in COLUMNS},
        )
    left = [user_id for user_id in again if user_id not in good]
    return _Batch(len(good), left, (found[-1]["user_id"],) if len(found) == most else None)


def _rotate_images(
    transaction: Transaction,
    names: Mapping[str, psql.Composable],
    keys: TokenKeys,
    after: tuple[object, ...] | None,
    most: int,
) -> _Batch:
    run_id, kind, key = after or (-(2**63), "", "")
    values = {"run_id": run_id, "kind": kind, "key": key, "newest": keys.newest_id, "most": most}
    found = transaction.all("tokens.lock_images", names, **values)
    left = []
    for row in found:
        images = {name: _image(keys, row["spotify_id"], row[name]) for name in ("before", "after")}
        if any(row[name] is not None and image is None for name, image in images.items()):
            left.append(row["user_id"])
            continue
        place = {name: row[name] for name in ("run_id", "kind", "key")}
        stored = {name: None if image is None else Jsonb(image) for name, image in images.items()}
        transaction.run("tokens.save_image", None, **place, **stored)
    last = found[-1] if len(found) == most else None
    return _Batch(len(found) - len(left), left, (last["run_id"], last["kind"], last["key"]) if last else None)


def _image(keys: TokenKeys, spotify_id: str | None, image: Row | None) -> Row | None:
    """Return a journal image under the newest key; None when there is no image, or none that a key opens."""
    if image is None or not any(image.get(column) for column in COLUMNS):
        return image
    again = None if spotify_id is None else _again(keys, spotify_id, image)
    return (
        None
        if again is None
        else {**image, **{name: again[name] for name in COLUMNS if name in image}, **_key_id(image, keys)}
    )


def _key_id(image: Row, keys: TokenKeys) -> dict[str, str]:
    return {"key_id": keys.newest_id} if "key_id" in image else {}


def _again(keys: TokenKeys, spotify_id: str, row: Row) -> dict[str, str | None] | None:
    """Return a row's tokens under the newest key; None when one of them does not open."""
    try:
        return {
            column: None
            if (envelope := row.get(column)) is None
            else keys.encrypt(spotify_id, column, keys.decrypt(spotify_id, column, envelope))
            for column in COLUMNS
        }
    except UndecryptableToken:
        return None
