"""The documentation says what the program has, all of it, and nothing else."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from migrator.cli import segue as group
from migrator.errors import Exit
from migrator.states import TRANSITIONS, RunState
from tests.conftest import Command
from tests.docs.pages import PAGES, ROOT, blocks, prose

TEXTS = {page.relative_to(ROOT).as_posix(): page.read_text("utf-8") for page in PAGES}
ALL = "\n".join(TEXTS.values())
REFERENCE = TEXTS["docs/reference.md"]


def commands(command: click.Command = group, path: tuple[str, ...] = ("segue",)) -> Iterator[tuple[str, click.Command]]:
    """Yield every command of the program with its full name."""
    yield " ".join(path), command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None, f"{' '.join(path)} lists {name} and does not have it"
            yield from commands(inner, (*path, name))


COMMANDS = dict(commands())
PARAMETERS = [(name, parameter) for name, command in COMMANDS.items() for parameter in command.params]


def section(command: str) -> str:
    """Return the part of the reference that covers a command: its own heading's, or its group's."""
    words = command.split()
    if len(words) == 1:
        return re.split(r"^### segue ", REFERENCE, flags=re.MULTILINE)[0]
    for part in re.split(r"^### ", REFERENCE, flags=re.MULTILINE)[1:]:
        names = part.split("\n", 1)[0].split(", ")
        if " ".join(words[:2]) in names:
            return re.split(r"^## ", part, flags=re.MULTILINE)[0]
    return ""


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_section(name: str) -> None:
    """The reference has a section for each command, and names each subcommand in its group's."""
    assert name in section(name)


@pytest.mark.parametrize(
    ("command", "option"),
    [(name, flag) for name, parameter in PARAMETERS for flag in parameter.opts if isinstance(parameter, click.Option)],
)
def test_every_option_is_in_its_commands_section(command: str, option: str) -> None:
    """The reference names each option, its short form too, where its command is described."""
    assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", section(command))


@pytest.mark.parametrize(
    ("command", "variable"),
    sorted({(name, str(parameter.envvar)) for name, parameter in PARAMETERS if parameter.envvar}),
)
def test_every_environment_twin_is_in_its_commands_section(command: str, variable: str) -> None:
    """The reference names each environment variable where its command is described."""
    covered = section(command) or REFERENCE
    group_section = re.search(r"`--table`.*as `segue migrate` does", section("segue vocabulary"), re.DOTALL)
    assert f"`{variable}`" in covered or (command.startswith("segue vocabulary ") and group_section)


def test_every_other_variable_is_named() -> None:
    """A SEGUE_ variable that the product's code reads is in the reference."""
    read = set()
    for folder in ("migrator", "sql", "tags", "cache", "monitoring", "service"):
        for path in (ROOT / folder).rglob("*.py"):
            read |= set(re.findall(r"SEGUE_[A-Z_]+\b(?<!_)", path.read_text("utf-8")))

    assert {name for name in read if name not in REFERENCE} == set()


def test_no_variable_is_invented() -> None:
    """A SEGUE_ variable in the documentation exists in the program, its tests or its scripts."""
    known = {str(parameter.envvar) for _, parameter in PARAMETERS if parameter.envvar}
    known |= {"SEGUE_FAILPOINT", "SEGUE_TOKEN_KEY"}
    for path in [*(ROOT / "scripts").iterdir(), *(ROOT / "tests").rglob("*.py")]:
        if path.is_file():
            known |= set(re.findall(r"SEGUE_TEST_[A-Z_]+\b", path.read_text("utf-8")))

    assert set(re.findall(r"SEGUE_[A-Z_]+\b(?<!_)", ALL)) - known == set()


def test_every_exit_code_is_in_the_table() -> None:
    """The reference's table lists exactly the exit codes, by number and name."""
    table = re.split(r"^## ", REFERENCE, flags=re.MULTILINE)
    rows = next(re.findall(r"^\| (\d) \| ([\w ]+) \|", part, re.MULTILINE) for part in table if part.startswith("Exit"))

    assert {(str(int(code)), code.name.lower().replace("_", " ")) for code in Exit} == set(rows)


def test_every_state_and_transition_is_in_the_table() -> None:
    """The reference's table lists exactly the states of a run and what may follow each."""
    table = next(part for part in re.split(r"^## ", REFERENCE, flags=re.MULTILINE) if part.startswith("States"))
    rows = {
        row[1]: set(re.findall(r"`(\w+)`", row[2]))
        for row in re.finditer(r"^\| `(\w+)` \| [^|]* \|([^|]*)\|$", table, re.MULTILINE)
    }

    assert {str(state): {str(after) for after in TRANSITIONS[state]} for state in RunState} == rows


@pytest.mark.parametrize(
    "arguments",
    [
        ("migrate", "--dry-run"),
        ("migrate", "--max-chunks", "0"),
        ("migrate", "--validate"),
        ("status",),
        ("validate",),
        ("rollback", "--dry-run"),
        ("quarantine", "list"),
        ("vocabulary", "show"),
        ("vocabulary", "suggest"),
    ],
    ids=" ".join,
)
def test_every_json_key_is_in_the_reference(segue: Command, songs: Any, arguments: tuple[str, ...]) -> None:
    """Each key that a command prints with --json stands in the reference's JSON section."""
    songs([("00000000-0000-0000-0000-000000000001", ["Grace", "grace", "", "x" * 51, "Chritmas"])])
    if arguments[0] != "migrate":
        segue("migrate")
    body = segue(*arguments, "--json").json
    described = REFERENCE[REFERENCE.index("## JSON") : REFERENCE.index("## States")]

    assert {key for key in _keys(body) if f"`{key}`" not in described} == set()


#: Objects whose keys are names of the user's: tables and options.
_NAMED_BY_USERS = {"created", "removed", "restored", "settings"}


def _keys(body: object) -> Iterator[str]:
    if isinstance(body, dict):
        for key, value in body.items():
            yield key
            if key not in _NAMED_BY_USERS:
                yield from _keys(value)
    elif isinstance(body, list):
        for item in body:
            yield from _keys(item)


def _invocations() -> Iterator[tuple[str, str]]:
    """Yield every call of the program that the pages show: in code blocks, and in backticks."""
    for name, page in TEXTS.items():
        for block in blocks(page):
            for line in block.text.replace("\\\n", " ").splitlines():
                said = re.sub(r"^(\$ |Next: )", "", line.strip())
                said = re.sub(r"^([A-Z_]+=\S+ +)*(timeout \S+ +)?", "", said)
                if said.startswith(("segue ", "migrate ", "rollback ")) and block.language in ("sh", "text", ""):
                    yield name, said
        for said in re.findall(r"`((?:segue|migrate|rollback) [^`]*)`", prose(page)):
            yield name, said


@pytest.mark.parametrize(("page", "said"), sorted(set(_invocations())))
def test_no_command_or_option_is_invented(page: str, said: str) -> None:
    """What the pages tell people to type exists: the command, and each of its options."""
    said = re.split(r"\s(?:#|\||&&?|;|>|2>|-(?= )|or|and|RUN --)|[;,:]", said)[0].replace("…", "")
    words = [word for word in shlex.split(said) if word]
    words = words if words[0] == "segue" else ["segue", *words]
    command: click.Command = group
    for word in words[1:]:
        inner = command.get_command(click.Context(command), word) if isinstance(command, click.Group) else None
        if inner is not None:
            command = inner
        elif isinstance(command, click.Group) and word.isalpha() and word.islower() and command is not group:
            pytest.fail(f"{page}: `{said}`: there is no {word!r}")
    assert command is not group or len(words) == 1 or words[1].startswith("-") or words[1].isupper(), (
        f"{page}: `{said}`"
    )
    known = {flag for parameter in [*command.params, *group.params] for flag in parameter.opts} | {"--help", "-h"}
    assert {word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)} - known == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_internal_links_resolve(page: Path) -> None:
    """Every link to a file, and to a heading of a page, leads somewhere."""
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page.read_text("utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        aimed = (page.parent / path).resolve() if path else page
        if not aimed.exists() or (anchor and anchor not in _anchors(aimed.read_text("utf-8"))):
            broken.append(target)

    assert broken == []


def _anchors(page: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_is_reachable_from_the_readme() -> None:
    """Whoever starts at README.md can reach every page by links."""
    seen, queue = set(), [ROOT / "README.md"]
    while queue:
        page = queue.pop()
        if page in seen:
            continue
        seen.add(page)
        targets = re.findall(r"\]\(([^)#\s]+\.md)(?:#[^)]*)?\)", page.read_text("utf-8"))
        queue += [(page.parent / target).resolve() for target in targets if not re.match(r"[a-z]+:", target)]

    assert {page for page in PAGES if page not in seen} == set()


def test_readme_shows_the_headings_of_the_demo() -> None:
    """The README's demo output has the demo's headings, all and in order."""
    script = (ROOT / "scripts/demo").read_text("utf-8")
    headings = [f"== {text}" for text in re.findall(r'^heading "(.*)"$', script, re.MULTILINE)]

    assert headings == re.findall(r"^== .*$", TEXTS["README.md"], re.MULTILINE)


def test_every_guarantee_has_a_proof() -> None:
    """The design names, for each of G1 to G12, tests that exist."""
    rows = dict(re.findall(r"^\| (G\d+)\b[^|]*\|[^|]*\|([^|]*)\|$", TEXTS["docs/design.md"], re.MULTILINE))
    named = [path for proof in rows.values() for path in re.findall(r"`(tests/[^`]+)`", proof)]

    assert [f"G{number}" for number in range(1, 13)] == list(rows)
    assert [path for path in named if not (ROOT / path).exists()] == []
