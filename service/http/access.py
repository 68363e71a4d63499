"""Who may do what: rate limits for everybody, tokens and networks for those who change something."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from service.http.clients import address_of, is_within
from service.http.operations import Policy, Scope
from service.http.problems import FORBIDDEN, UNAUTHORIZED, Problem
from service.http.rate_limit import Quota
from service.state import State
from service.tokens import Refusal, TokenVerifier, Verdict

#: Every policy has buckets of its own: who searches a lot may still type.
POLICIES: Final[tuple[Policy, ...]] = ("autocomplete", "search", "read", "write")

_CHALLENGE: Final = 'Bearer realm="segue"'


class Access:
    """Checks of one process.

    Args:
        state: whose settings and database are used.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._trusted = state.settings.trusted_proxies
        self._networks = state.settings.admin_networks
        self._verifier = TokenVerifier(state.database)
        self.quotas: Mapping[str, Quota] = {policy: Quota(policy, state.settings.limits) for policy in POLICIES}

    def spend(self, scope: Any, policy: Policy | None) -> None:
        """Count a request against its client's quota, and leave the headers that say so in the scope.

        Raises:
            Problem: 429.
        """
        if policy is None or not (quota := self.quotas[policy]).is_on or scope.get("segue.spent"):
            return
        address = address_of(scope, self._trusted)
        left = quota.take(address)
        if left is None:
            return
        if left < 0:
            self._state.measures.refused(policy)
            raise quota.refusal(address)
        scope["segue.headers"] = quota.headers(left)

    def actor(self, scope: Any, needed: Scope) -> str:
        """Return the name of the token that a request brings; reads the database.

        Raises:
            Problem: 401 without a valid token, 403 when it lacks the scope or comes from elsewhere.
            DatabaseError: tokens cannot be read, so nobody is let in.
        """
        address = address_of(scope, self._trusted)
        if self._networks and not is_within(address, self._networks):
            raise Problem(FORBIDDEN, "tokens may not be used from this network; see --admin-network")
        given = _bearer(scope["headers"])
        with self._state.watching_database():
            verdict = self._verifier.verify(given, address)
        if verdict.token is None:
            raise _refused(verdict)
        if needed not in verdict.token.scopes:
            raise Problem(
                FORBIDDEN,
                f"the token {verdict.token.name!r} lacks the scope {needed!r}",
                headers=[("www-authenticate", f'{_CHALLENGE}, error="insufficient_scope", scope="{needed}"')],
            )
        return verdict.token.name


def _refused(verdict: Verdict) -> Problem:
    if verdict.refusal is Refusal.NETWORK:
        return Problem(FORBIDDEN, "this token may not be used from this network")
    # Whether it is unknown, revoked or expired is nobody's business but the operator's.
    return Problem(
        UNAUTHORIZED,
        "the token is not accepted; see `segue tokens list`",
        headers=[("www-authenticate", f'{_CHALLENGE}, error="invalid_token"')],
    )


def _bearer(headers: Sequence[tuple[bytes, bytes]]) -> str:
    values = [value for name, value in headers if name == b"authorization"]
    if not values:
        raise Problem(
            UNAUTHORIZED,
            "this needs a token: Authorization: Bearer …; make one with `segue tokens create`",
            headers=[("www-authenticate", _CHALLENGE)],
        )
    scheme, _, token = values[0].decode("latin-1").partition(" ")
    if len(values) > 1 or scheme.lower() != "bearer" or not token.strip():
        raise Problem(
            UNAUTHORIZED,
            "the Authorization header must be: Bearer, a space, and the token",
            headers=[("www-authenticate", f'{_CHALLENGE}, error="invalid_request"')],
        )
    return token.strip()
