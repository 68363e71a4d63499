"""What `scripts/bench serve` serves: a million tags with synonyms, and the keystrokes of people who look for them.

Names are one to three invented words of two to four syllables; how often a tag is used falls with its rank as 1/rank,
and so does how often somebody types it. Everything follows from the seeds, so every run measures the same.
"""

import random
from collections.abc import Iterator
from itertools import accumulate
from uuid import UUID

import psycopg

SYLLABLES = """
ba be bi bo bu da de di do du fa fe fi fo ga ge go ha he hi ho ja jo ka ke ki ko la le li lo lu ma me mi mo mu na ne
ni no nu pa pe pi po ra re ri ro ru sa se si so su ta te ti to tu va ve vi wa we ya yo za ze zo chi sha tri bra cla spi
an en in on er ar or el al um is us
""".split()  # noqa: SIM905 - read as words, not as a list of strings
CATEGORIES = ("theme", "theme", "theme", "theme", "mood", "mood", "occasion", "liturgical")


def names(count: int) -> list[str]:
    """Return distinct names, the most used first."""
    rng = random.Random(1)
    words = sorted({"".join(rng.choices(SYLLABLES, k=rng.choice((2, 2, 3, 3, 4)))) for _ in range(40_000)})
    rng.shuffle(words)
    weights = list(accumulate(1 / (rank + 10) for rank in range(len(words))))
    found: dict[str, None] = {}
    while len(found) < count:
        sizes = rng.choices((1, 2, 3), weights=(1, 6, 5), k=count)
        drawn = iter(rng.choices(words, cum_weights=weights, k=sum(sizes)))
        for size in sizes:
            found.setdefault(" ".join(next(drawn) for _ in range(size))[:50].strip())
    return list(found)[:count]


def fill(url: str, tags: int, synonyms: int) -> list[str]:
    """Fill `tags` and `tag_synonyms` of a database with Segue's schema; return the names, most used first."""
    found = names(tags + synonyms)
    rng = random.Random(2)
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        with cursor.copy(
            "COPY tags (id, name, normalized_name, category, color, usage_count, is_standard) FROM STDIN"
        ) as copy:
            for rank, name in enumerate(found[:tags], 1):
                category = CATEGORIES[rank % len(CATEGORIES)]
                copy.write_row(
                    (UUID(int=rank), name.title() if rank % 3 else name, name, category, "#336699", tags // rank, False)
                )
        with cursor.copy("COPY tag_synonyms (synonym, canonical_tag_id) FROM STDIN") as copy:
            for name in found[tags:]:
                copy.write_row((name, UUID(int=1 + int(rng.random() ** 3 * (tags - 1)))))
        connection.commit()
        connection.autocommit = True
        connection.execute("VACUUM (FREEZE, ANALYZE)")
    return found[:tags]


def keystrokes(found: list[str], count: int, seed: int = 3) -> Iterator[str]:
    """Yield what people type, one query a keystroke: a name by Zipf's law, typed until it is picked."""
    rng = random.Random(seed)
    weights = list(accumulate(1 / rank for rank in range(1, len(found) + 1)))
    left = count
    while left > 0:
        for name in rng.choices(found, cum_weights=weights, k=1_000):
            length = min(len(name), rng.randint(2, 9), left)
            for end in range(1, length + 1):
                if not name[:end].endswith(" "):
                    yield name[:end]
                    left -= 1
            if left <= 0:
                return


def misspelled(name: str, rng: random.Random) -> str:
    """Return the name's first six to eight characters with one edit in them: dropped, doubled, swapped or replaced."""
    typed = name[: rng.randint(6, 8)]
    at = rng.randrange(1, len(typed) - 1)
    kind = rng.randrange(4)
    if kind == 0:
        return typed[:at] + typed[at + 1 :]
    if kind == 1:
        return typed[:at] + typed[at] + typed[at:]
    if kind == 2:
        return typed[:at] + typed[at + 1] + typed[at] + typed[at + 2 :]
    return typed[:at] + rng.choice("aeiourstln") + typed[at + 1 :]
