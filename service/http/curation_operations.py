"""Curating tags: each operation is one transaction of acts, logged under the name of the token that asked."""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from service.curation import acts
from service.curation.reading import list_acts, read_tag
from service.curation.tag import Curator, Done
from service.http import curation_shapes as shapes
from service.http.cursors import cursor_parameter, encoded
from service.http.operations import TAG_ID, Call, Operation, Reply, number
from service.http.parameters import Parameter, text, uuid, whole
from service.http.problems import CONFLICT, GONE, NOT_FOUND
from sql.database import Transaction

_GROUP: Final = "Curating"
_PURPOSE: Final = "moderation"
#: A merge moves as many links as a tag has songs.
_SECONDS: Final = 60.0
_UNKNOWN: Final = (NOT_FOUND, CONFLICT, GONE)

Acts = Callable[[Transaction, Curator, Call], list[Done]]


def operations() -> list[Operation]:
    """Return the operations that change tags, and the log of what they did."""
    synonym = text("synonym", 50, "The word to take away.", is_required=True, example="holy ghost")
    return [
        _operation("POST", "/v1/tags", "create_tag", "Make a tag", _create, shapes.NewTagRequest, status=201),
        _operation(
            "PATCH",
            "/v1/tags/{id}",
            "change_tag",
            "Rename, recategorise or recolour a tag",
            _change,
            shapes.TagChangeRequest,
        ),
        _operation(
            "POST",
            "/v1/tags/{id}/merge",
            "merge_tag",
            "Merge a tag into another one",
            lambda transaction, curator, call: [
                acts.merge(transaction, curator, call.path["id"], call.body.into.lower())
            ],
            shapes.MergeRequest,
            description=(
                "Every song that had either has the other one then; name and synonyms become synonyms, and the old id "
                "leads on."
            ),
        ),
        _operation(
            "POST",
            "/v1/tags/{id}/promote",
            "promote_tag",
            "Take a tag into the standard vocabulary",
            lambda transaction, curator, call: [acts.promote(transaction, curator, call.path["id"])],
        ),
        _operation(
            "POST",
            "/v1/tags/{id}/ban",
            "ban_tag",
            "Hide a tag",
            lambda transaction, curator, call: [acts.ban(transaction, curator, call.path["id"], call.body.reason)],
            shapes.BanRequest,
            description="It keeps its songs, is neither suggested nor listed, and its name cannot be made again.",
        ),
        _operation(
            "POST",
            "/v1/tags/{id}/synonyms",
            "add_synonym",
            "Add another word for a tag",
            lambda transaction, curator, call: [
                acts.synonym(transaction, curator, call.path["id"], call.body.synonym, replace=call.body.replace)
            ],
            shapes.SynonymRequest,
        ),
        _operation(
            "DELETE",
            "/v1/tags/{id}/synonyms",
            "remove_synonym",
            "Take a word away from a tag",
            lambda transaction, curator, call: [
                acts.unsynonym(transaction, curator, call.path["id"], call.query["synonym"])
            ],
            parameters=(synonym,),
        ),
        _operation(
            "POST",
            "/v1/moderation/{id}/undo",
            "undo",
            "Take an act back",
            lambda transaction, curator, call: [acts.undo(transaction, curator, int(call.path["id"]))],
            path_parameters={"id": number},
            description="What was done since and the act does not touch stays; in its way, it is a conflict.",
        ),
        Operation(
            method="GET",
            path="/v1/moderation",
            name="moderation",
            group=_GROUP,
            summary="Who did what to which tag, newest first",
            handle=_log,
            parameters=(
                cursor_parameter(_PURPOSE, int),
                whole("limit", 1, 1_000, 100, "Acts on a page."),
                Parameter(
                    name="tag",
                    description="Only acts about this tag, and about those that were merged into it: its id.",
                    read=uuid,
                    schema={"type": "string", "format": "uuid"},
                ),
            ),
            answer=shapes.Moderation,
            scope="read",
        ),
    ]


def _operation(
    method: str,
    path: str,
    name: str,
    summary: str,
    do: Acts,
    body: type[msgspec.Struct] | None = None,
    **further: Any,
) -> Operation:
    def handle(call: Call) -> Reply:
        curator = Curator(call.state.settings.schema, call.actor)
        with call.state.transaction() as transaction:
            done = do(transaction, curator, call)
        return _reply(done, further.get("status", 200))

    path_parameters = TAG_ID if "{id}" in path else {}
    settings = {"path_parameters": path_parameters, "problems": _UNKNOWN, **further}
    return Operation(
        method=method,
        path=path,
        name=name,
        group=_GROUP,
        summary=summary,
        handle=handle,
        body=body,
        answer=shapes.Curated,
        scope="curate",
        policy="write",
        seconds=_SECONDS,
        **settings,
    )


def _create(transaction: Transaction, curator: Curator, call: Call) -> list[Done]:
    wanted: shapes.NewTagRequest = call.body
    return [acts.create(transaction, curator, wanted.name, category=wanted.category, color=wanted.color)]


def _change(transaction: Transaction, curator: Curator, call: Call) -> list[Done]:
    wanted: shapes.TagChangeRequest = call.body
    tag_id = call.path["id"]
    done = []
    if wanted.name is not msgspec.UNSET:
        done.append(acts.rename(transaction, curator, tag_id, wanted.name, keep_old=wanted.keep_old_name))
    if wanted.category is not msgspec.UNSET:
        done.append(acts.recategorise(transaction, curator, tag_id, wanted.category))
    if wanted.color is not msgspec.UNSET:
        done.append(acts.recolour(transaction, curator, tag_id, wanted.color))
    return done or [Done(None, "change", (read_tag(transaction, curator.schema, tag_id),))]


def _reply(done: list[Done], status: int) -> Reply:
    now = {tag.id: tag for act in done for tag in act.tags}  # of several acts the last one knows best
    tags = tuple(
        shapes.CuratedTag(
            tag.id,
            tag.name,
            tag.normalized,
            tag.category,
            tag.color,
            tag.usage_count,
            tag.is_standard,
            tag.is_banned,
            tag.created_at,
            tag.promoted_at,
            tag.synonyms,
        )
        for tag in now.values()
    )
    headers = {"location": f"/v1/tags/{tags[0].id}"} if status == 201 else {}
    return Reply(shapes.Curated(tags, tuple(shapes.Act(act.action, act.log_id) for act in done)), status, headers)


def _log(call: Call) -> Reply:
    limit, after = call.query["limit"], call.query["cursor"]
    with call.state.transaction() as transaction:
        found = list_acts(transaction, tag_id=call.query["tag"], before=after[0] if after else None, limit=limit + 1)
    shown, rest = found[:limit], found[limit:]
    following = encoded(_PURPOSE, shown[-1].id) if rest else None
    rows = tuple(
        shapes.LoggedAct(
            act.id, act.at, act.actor, act.action, act.tag_id, act.before, act.after, act.undoes, act.undone_by
        )
        for act in shown
    )
    return Reply(shapes.Moderation(rows, following))
