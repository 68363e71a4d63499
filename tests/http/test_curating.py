"""Curating over HTTP: who may, what is answered, and that it is logged and can be undone."""

from typing import Any

import psycopg
import pytest

from service.http import curation_operations, run_operations
from service.http.operations import Operation
from tests.http.conftest import Inside, Make
from tests.http.tokens import Token, tokens

ID = "0190b0a4-7c1e-7d30-9a53-0b7c4a2f4f11"

PROTECTED = [
    operation
    for operation in (*curation_operations.operations(), *run_operations.operations())
    if operation.scope is not None
]
STATES = (
    "none",
    "basic",
    "malformed",
    "unknown",
    "revoked",
    "expired",
    "elsewhere",
    "read",
    "curate",
    "operate",
    "all",
)


def request_of(operation: Operation) -> tuple[str, str, Any]:
    """Return method, path and body of a request that changes nothing: the tag or act that it names is not there."""
    bodies = {
        "create_tag": {"name": "Grace"},
        "change_tag": {"category": "mood"},
        "merge_tag": {"into": ID},
        "ban_tag": {"reason": "for the test"},
        "add_synonym": {"synonym": "another"},
        "retune_run": {"controls": {"nice": 1}},
    }
    target = operation.path.replace("{id}", ID if "tags" in operation.path else "999999999")
    target = target.replace("{name}", "nothing")
    return (
        operation.method,
        target + ("?synonym=x" if operation.name == "remove_synonym" else ""),
        bodies.get(operation.name),
    )


def bearer(token: Token) -> dict[str, str]:
    """Return the header of a token."""
    return {"authorization": f"Bearer {token}"}


@pytest.mark.parametrize("operation", PROTECTED, ids=lambda operation: operation.name)
@pytest.mark.parametrize("state", STATES)
def test_who_may(served: Inside, known_tokens: dict[str, Token], operation: Operation, state: str) -> None:
    """Every operation × every state of a token: 401, 403, or what the operation itself says."""
    method, target, body = request_of(operation)
    headers = {"none": {}, "basic": {"authorization": "Basic dTpw"}}.get(state) or (
        bearer(known_tokens[state]) if state in known_tokens else {}
    )

    got = served.ask(method, target, headers=headers, json_body=body)

    if state in ("none", "basic", "malformed", "unknown", "revoked", "expired"):
        assert 401 == got.status
        assert got.headers["www-authenticate"].startswith("Bearer")
    elif state == "elsewhere" or state not in (operation.scope, "all"):
        assert 403 == got.status
    else:
        assert got.status not in (401, 403)
        assert got.status < 500


@pytest.mark.parametrize("operation", PROTECTED, ids=lambda operation: operation.name)
def test_other_networks_are_kept_out(inside: Make, known_tokens: dict[str, Token], operation: Operation) -> None:
    """With an allow-list of networks no token works from elsewhere, and the right ones work from there."""
    from ipaddress import ip_network

    served = inside(admin_networks=(ip_network("198.51.100.0/24"),))
    method, target, body = request_of(operation)

    assert 403 == served.ask(method, target, headers=bearer(known_tokens["all"]), json_body=body).status
    inside_network = served.ask(
        method, target, headers=bearer(known_tokens["all"]), json_body=body, client="198.51.100.7"
    )
    assert inside_network.status not in (401, 403)


def test_without_any_token_nothing_is_done(alone: Inside, connection: psycopg.Connection[Any]) -> None:
    """As long as no token was made, whatever is sent is refused and nothing changes."""
    before = connection.execute("SELECT tags::text FROM tags ORDER BY id").fetchall()

    for operation in PROTECTED:
        method, target, body = request_of(operation)
        target = target.replace(ID, alone.tag_id("Grace"))
        for headers in ({}, bearer("segue_" + "A" * 43)):
            assert 401 == alone.ask(method, target, headers=headers, json_body=body).status

    assert before == connection.execute("SELECT tags::text FROM tags ORDER BY id").fetchall()
    assert [(0,)] == connection.execute("SELECT count(*) FROM segue.moderation_log").fetchall()


def test_a_tags_life(alone: Inside, connection: psycopg.Connection[Any]) -> None:
    """Made, renamed, given a synonym, promoted, merged and split again, banned; all of it in the log, under the token's name."""
    known = tokens(connection)
    curate, read = bearer(known["curate"]), bearer(known["read"])

    def act(method: str, target: str, status: int = 200, **body: Any) -> Any:
        got = alone.ask(method, target, headers=curate, json_body=body or None)
        assert status == got.status, got.body
        return got.json

    made = alone.ask("POST", "/v1/tags", headers=curate, json_body={"name": "  Mercy Seat ", "category": "mood"})
    assert 201 == made.status
    tag_id = made.json["tags"][0]["id"]
    assert f"/v1/tags/{tag_id}" == made.headers["location"]
    assert "Mercy Seat" == made.json["tags"][0]["name"]
    changed = act("PATCH", f"/v1/tags/{tag_id}", name="Throne of Mercy", category="theme", color="#00FF00")
    assert ["rename", "recategorise", "recolour"] == [each["action"] for each in changed["acts"]]
    assert ("Throne of Mercy", "theme", ["mercy seat"]) == tuple(
        changed["tags"][0][name] for name in ("name", "category", "synonyms")
    )
    assert None is act("PATCH", f"/v1/tags/{tag_id}", category="theme")["acts"][0]["log_id"], "nothing had to change"
    assert ["kapporet", "mercy seat"] == act("POST", f"/v1/tags/{tag_id}/synonyms", synonym="Kapporet")["tags"][0][
        "synonyms"
    ]
    assert ["mercy seat"] == act("DELETE", f"/v1/tags/{tag_id}/synonyms?synonym=KAPPORET")["tags"][0]["synonyms"]
    assert act("POST", f"/v1/tags/{tag_id}/promote")["tags"][0]["is_standard"]
    grace = alone.tag_id("Grace")
    merged = act("POST", f"/v1/tags/{tag_id}/merge", into=grace)
    assert [grace] == [tag["id"] for tag in merged["tags"]]
    gone = alone.ask("POST", f"/v1/tags/{tag_id}/promote", headers=curate)
    assert (410, f"/v1/tags/{grace}") == (gone.status, gone.headers["location"])
    act("POST", f"/v1/moderation/{merged['acts'][0]['log_id']}/undo")
    assert 409 == alone.ask("POST", f"/v1/moderation/{merged['acts'][0]['log_id']}/undo", headers=curate).status
    assert act("POST", f"/v1/tags/{tag_id}/ban", reason="for the test")["tags"][0]["is_banned"]
    assert 409 == alone.ask("POST", "/v1/tags", headers=curate, json_body={"name": "throne of mercy"}).status

    log = alone.get("/v1/moderation?limit=3", headers=read).json
    assert ["ban", "undo", "merge"] == [row["action"] for row in log["acts"]]
    rest = alone.get(f"/v1/moderation?cursor={log['next']}&tag={tag_id}", headers=read).json
    assert ["promote", "unsynonym", "synonym", "recolour", "recategorise", "rename", "create"] == [
        row["action"] for row in rest["acts"]
    ]
    assert {"test curate"} == {row["actor"] for row in log["acts"] + rest["acts"]}
    assert rest["next"] is None


def test_a_change_that_fails_half_way_changes_nothing(alone: Inside, connection: psycopg.Connection[Any]) -> None:
    """Several changes of one request are one transaction; the problem points at the member that is wrong."""
    curate = bearer(tokens(connection)["curate"])
    grace = alone.tag_id("Grace")

    got = alone.ask("PATCH", f"/v1/tags/{grace}", headers=curate, json_body={"name": "Favour", "category": "nonsense"})

    assert (422, "/category") == (got.status, got.json["errors"][0]["pointer"])
    assert [("Grace",)] == connection.execute("SELECT name FROM tags WHERE id = %s", [grace]).fetchall()
    nothing = alone.ask("PATCH", f"/v1/tags/{grace}", headers=curate, json_body={})
    assert (200, "Grace") == (nothing.status, nothing.json["tags"][0]["name"])
    taken = alone.ask("PATCH", f"/v1/tags/{grace}", headers=curate, json_body={"name": "HOPE"})
    assert (409, "/name") == (taken.status, taken.json["errors"][0]["pointer"])


def test_banned_names_are_no_new_tags(alone: Inside, connection: psycopg.Connection[Any]) -> None:
    """Autocomplete says that a banned name cannot be made."""
    curate = bearer(tokens(connection)["curate"])
    kyrie = alone.tag_id("Kyrie")
    alone.ask("POST", f"/v1/tags/{kyrie}/ban", headers=curate, json_body={"reason": "for the test"})
    assert alone.state.index is not None
    alone.state.index.apply({kyrie: None}, 1)

    assert alone.state.bans.read(alone.state.database)
    assert not alone.state.bans.read(alone.state.database), "nothing has changed since"

    create = alone.get("/v1/tags/autocomplete?q=kyrie").json["create"]
    assert not create["is_possible"]
    assert "ban" in create["reason"]


def test_tokens_are_not_believed_without_the_database(inside: Make, known_tokens: dict[str, Token]) -> None:
    """When tokens cannot be looked up nobody is let in: 503."""
    from sql.database import Database

    served = inside()
    served.state.database.close()
    dead = Database("postgresql://nobody@127.0.0.1:1/nowhere")
    served.state.database = dead
    served._whole.access._verifier._database = dead  # it was made with the other one

    assert 503 == served.ask("POST", f"/v1/tags/{ID}/promote", headers=bearer(known_tokens["all"])).status
    assert 401 == served.ask("POST", f"/v1/tags/{ID}/promote").status
