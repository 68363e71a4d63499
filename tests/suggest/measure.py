"""How fast and how large the index is: `python -m tests.suggest.measure`. Not a test; everything follows from seeds.

A child process writes the tags to a file, so that the memory measured is the index's and the interpreter's own.
"""

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from uuid import UUID

import psutil

from service.suggest.index import TagIndex
from service.suggest.query import Query
from service.suggest.tag import Tag

SYLLABLES = [
    a + b
    for a in ("", *"bcdfghjklmnprstvz", "ch", "sh", "tr", "br", "cl", "sp")
    for b in ("a", "e", "i", "o", "u", "an", "er", "is")
]
CATEGORIES = ("theme", "theme", "theme", "theme", "mood", "mood", "occasion", "liturgical")
QUERIES = 3_000


def write(path: Path, tags: int, synonyms: int, vocabulary: int) -> None:
    """Write invented tags: id, name, category, usage, synonyms; the most used first."""
    rng = random.Random(1)
    words = sorted({"".join(rng.choices(SYLLABLES, k=rng.choice((2, 2, 3, 3, 4)))) for _ in range(vocabulary)})
    rng.shuffle(words)
    weights = list(accumulate(1 / (rank + 10) for rank in range(len(words))))
    found: dict[str, None] = {}
    while len(found) < tags + synonyms:
        sizes = rng.choices((1, 2, 3), weights=(1, 6, 5), k=tags)
        drawn = iter(rng.choices(words, cum_weights=weights, k=sum(sizes)))
        for size in sizes:
            found.setdefault(" ".join(next(drawn) for _ in range(size))[:50].strip())
    names = list(found)[: tags + synonyms]
    others: dict[int, list[str]] = {}
    for name in names[tags:]:
        others.setdefault(int(rng.random() ** 3 * (tags - 1)), []).append(name)
    with path.open("w") as file:
        for rank, name in enumerate(names[:tags]):
            shown = name.title() if rank % 3 else name
            cells = (UUID(int=rank + 1), shown, CATEGORIES[rank % 8], tags // (rank + 1), *others.get(rank, ()))
            file.write("\t".join(map(str, cells)) + "\n")


def read(path: Path) -> Iterator[Tag]:
    """Read them as a loader would."""
    with path.open() as file:
        for line in file:
            tag_id, name, category, usage, *synonyms = line[:-1].split("\t")
            yield Tag(
                tag_id, name, name.lower(), category, "#336699", int(usage), is_standard=False, synonyms=tuple(synonyms)
            )


def misspelled(name: str, rng: random.Random) -> str:
    """Return the name's first 6 to 8 characters with one edit in them."""
    typed = name[: rng.randint(6, 8)]
    at = rng.randrange(1, len(typed) - 1)
    return (
        typed[:at] + typed[at + 1 :],
        typed[:at] + typed[at] + typed[at:],
        typed[:at] + typed[at + 1] + typed[at] + typed[at + 2 :],
        typed[:at] + rng.choice("aeiourstln") + typed[at + 1 :],
    )[rng.randrange(4)]


def time_each(index: TagIndex, queries: Sequence[Query]) -> str:
    """Ask each query once, then again; return percentiles of the wall time of the first and the CPU time of the second.

    On a machine that others use too, the wall time is also theirs.
    """

    def run(clock: Callable[[], float]) -> str:
        seen = []
        for query in queries:
            begun = clock()
            index.suggest(query)
            seen.append((clock() - begun) * 1e6)
        seen.sort()
        return f"p50 {seen[len(seen) // 2]:6.1f}  p99 {seen[int(len(seen) * 0.99)]:7.1f}"

    return f"{run(time.perf_counter)}   CPU {run(time.thread_time)}   {len(queries)} queries"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tags", type=int, default=1_000_000)
    parser.add_argument("--synonyms", type=int, default=200_000)
    parser.add_argument("--vocabulary", type=int, default=40_000)
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    if options.write:
        write(options.write, options.tags, options.synonyms, options.vocabulary)
        return
    process = psutil.Process()
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "tags.tsv"
        arguments = [f"--{name}={getattr(options, name)}" for name in ("tags", "synonyms", "vocabulary")]
        subprocess.run([sys.executable, "-m", "tests.suggest.measure", f"--write={path}", *arguments], check=True)
        cpu = time.process_time()
        rng = random.Random(3)
        names = [tag.name.lower() for tag in read(path) if rng.random() < 4 * QUERIES / options.tags]
        reading = time.process_time() - cpu
        before = process.memory_info().rss >> 20
        begun, cpu = time.perf_counter(), time.process_time()
        index = TagIndex.build(read(path), 1)
        wall, cpu = time.perf_counter() - begun, time.process_time() - cpu
        print(f"build {wall:.1f} s wall, {cpu:.1f} s CPU, of which reading the file {reading:.1f} s")
        print(f"memory {before} MB before, {process.memory_info().rss >> 20} MB after")
    rng.shuffle(names)
    for size in range(1, 9):
        texts = dict.fromkeys(name[:size].strip() for name in names)
        print(f"{size} characters", time_each(index, [Query(text) for text in texts if text][:QUERIES]))
    wrong = [misspelled(name, rng) for name in names if len(name) > 8]
    typos = [query for query in map(Query, wrong) if all(s.band == "typo" for s in index.suggest(query).suggestions)]
    print("one typing error", time_each(index, typos[:QUERIES]))
    several = [" ".join(word[: rng.randint(2, 4)] for word in reversed(name.split())) for name in names if " " in name]
    print("words, reversed ", time_each(index, [Query(text) for text in several[:QUERIES]]))
    print("3 chars, category", time_each(index, [Query(name[:3], category="occasion") for name in names[:QUERIES]]))
    everything = [Query(name) for name in names[:QUERIES]]
    print("whole names     ", time_each(index, everything))
    popular = index.popular(5_000)
    begun = time.perf_counter()
    for number, tag in enumerate(popular[:300]):
        index.apply(
            {
                tag.id: Tag(
                    tag.id, tag.name, tag.normalized, tag.category, tag.color, tag.usage_count + 1, is_standard=False
                )
            },
            number,
        )
    print(f"apply, one tag: {(time.perf_counter() - begun) / 300 * 1e3:.2f} ms")
    changes = {
        t.id: Tag(t.id, t.name, t.normalized, t.category, t.color, t.usage_count + 2, is_standard=False)
        for t in popular
    }
    begun = time.perf_counter()
    index.apply(changes, 1_000)
    print(f"apply, {len(changes)} tags: {(time.perf_counter() - begun) * 1e3:.0f} ms")
    for size in (1, 3, 5):
        texts = dict.fromkeys(name[:size].strip() for name in names)
        print(f"{size} characters, with a delta", time_each(index, [Query(text) for text in texts if text][:QUERIES]))


if __name__ == "__main__":
    main()
