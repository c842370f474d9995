"""Authentication: who sends a request, by a token or by nothing where the console is open."""

from __future__ import annotations

from fastapi import Request

from reelmill_common.access import OPERATOR, Principal
from reelmill_producer.web.problems import Refusal


async def authenticated(request: Request) -> Principal:
    """Return who sends a request; a dependency.

    Raises:
        Refusal: 401: there is no valid token.
    """
    if request.app.state.console.is_open:
        return OPERATOR
    raise Refusal(401, "there is no token that this farm knows", headers={"WWW-Authenticate": "Bearer"})
