"""What migrations know of tags: which text became which tag, what admins decided, what a rollback takes off a count.

A tag's name, once changed, has to change there too: else the next run would make the old tag anew.
"""

from collections.abc import Sequence
from typing import Any

from service.curation.errors import RunIsPlanning
from service.curation.naming import Name
from sql.database import Row, Transaction


def follow_name(
    transaction: Transaction, tag_id: str, old: Name, new: Name, texts: Sequence[str] | None = None
) -> list[str]:
    """Change a tag's name in vocabularies and in decisions (all, or those about some texts); return their texts."""
    fence_runs(transaction)
    values: dict[str, Any] = {"tag_id": tag_id, "from": old.normalized, "to": new.normalized}
    transaction.run("curation_merge.rename_words", **values)
    return move_decisions(transaction, old, new, texts)


def move_decisions(transaction: Transaction, old: Name, new: Name, texts: Sequence[str] | None = None) -> list[str]:
    """Let decisions that name a tag name another; return their texts.

    Args:
        transaction: the caller's.
        old: the name that they have.
        new: the name that they get.
        texts: only the decisions about these.
    """
    named = [row["normalized"] for row in transaction.all("curation_merge.list_decisions", canonical=old.normalized)]
    moved = [text for text in named if texts is None or text in texts]
    values: dict[str, Any] = {"from": old.normalized, "to": new.normalized, "cleaned": new.cleaned, "decisions": moved}
    transaction.run("curation_merge.move_decisions", **values)
    return moved


def fence_runs(transaction: Transaction) -> None:
    """Let chunks in flight be converted again, with what holds then.

    Raises:
        RunIsPlanning: a run resolves its whole vocabulary, with what held at its start.
    """
    if row := transaction.first("curation_merge.find_planning_run"):
        raise RunIsPlanning(row["id"])
    transaction.run("curation_merge.redo_chunks")


def move_words(
    transaction: Transaction, source_id: str, target_id: str, canonical: str, texts: Sequence[str] | None = None
) -> None:
    """Let runs convert texts to another tag from now on, the chunks in flight included.

    Args:
        transaction: the caller's.
        source_id: the tag that the texts became so far.
        target_id: the tag that they become.
        canonical: that tag's normalised name.
        texts: only these, in their normal form.

    Raises:
        RunIsPlanning: a run resolves its vocabulary.
    """
    fence_runs(transaction)
    values: dict[str, Any] = {"from": source_id, "to": target_id, "canonical": canonical, "normalized": texts}
    transaction.run("curation_merge.move_words", **values)


def shift_run_counts(transaction: Transaction, tag_id: str, counted: Row, changes: dict[int, int]) -> None:
    """Write down how much of a tag's count runs have made now, for their rollbacks.

    Args:
        transaction: the caller's.
        tag_id: which tag.
        counted: its usage_count and run_id now.
        changes: by run, how many more of its links are the run's.
    """
    # The rollback of the run that made the tag counts its links anew.
    others = {run_id: count for run_id, count in changes.items() if run_id != counted["run_id"]}
    transaction.run(
        "curation_merge.shift_run_counts",
        tag_id=tag_id,
        usage_count=counted["usage_count"],
        runs=list(others),
        counts=list(others.values()),
    )
