"""The documentation as data: pages, their code blocks, and the masks that hide what differs from run to run."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "runbooks").glob("*.md")])

_FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)

#: What may differ between two true outputs, and what stands for it.
_MASKS = [
    (re.compile(pattern), mask)
    for pattern, mask in (
        (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(\+00:00|Z)?", "<time>"),
        (r"(?<=_)\d{8}T\d{6}\b", "<time>"),
        (r"(?<=dropped by segue cleanup on )\d{4}-\d\d-\d\d", "<day>"),
        (r"\b\S+@\S+ pid \d+", "<holder>"),
        (r"postgresql://\S+?(?=[:;]?(\s|$))", "<url>"),
        (r"\b[\d,]+ rows/s", "<rate> rows/s"),
        (r"\b\d+\.\d+ s\b", "<seconds> s"),
        (r'"seconds": [\d.]+', '"seconds": <seconds>'),
        (r'"rows_per_second": [\d.]+', '"rows_per_second": <rate>'),
        (r"\b[0-9a-f]{64}\b", "<sha256>"),
        (r"(?<=\s)\S*/(?=[\w-]+\.(json|csv|sql)\b)", "<directory>/"),
    )
]


@dataclass(frozen=True)
class Block:
    """A fenced code block; `start` and `end` are the offsets of its text in the page."""

    language: str
    text: str
    start: int
    end: int


def blocks(page: str) -> list[Block]:
    """Return a page's code blocks in order, those inside HTML comments too."""
    return [
        Block(found["language"], found["text"], found.start("text"), found.end("text"))
        for found in _FENCE.finditer(page)
    ]


def masked(output: str) -> str:
    """Return output with what varies replaced, trailing blanks cut and only the real lines kept."""
    for pattern, mask in _MASKS:
        output = pattern.sub(mask, output)
    return "\n".join(line.rstrip() for line in output.strip("\n").splitlines())


def prose(page: str) -> str:
    """Return a page without its code blocks."""
    return _FENCE.sub("", page)
