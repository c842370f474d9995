"""Threaded routes: an endpoint that blocks runs in one thread, with the look-up of its caller and its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any, TypeVar

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError, ResponseValidationError
from fastapi.routing import APIRoute

from reelmill_producer.web.callers import Requester, requester

T = TypeVar("T")

_threads = ThreadPoolExecutor(40, thread_name_prefix="request")
"""Half of what anyio's threads cost an answer, and as many."""


class ThreadedRoute(APIRoute):
    """A route that changes threads once.

    FastAPI runs each blocking dependency, the endpoint, and the check of its answer in a thread each, and a change of
    threads costs more than most answers. An endpoint gets its `Caller` here, once the request's token was looked up: on
    another class of route it would get a `Requester`, which can do nothing.

    What an endpoint that blocks sets in an injected `Response` is lost; it returns a `Response` of its own instead.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        given = _identified(endpoint) if iscoroutinefunction(endpoint) else self._threaded(endpoint)
        super().__init__(path, given, **options)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers a request. Who has no valid token is told so before what else is wrong."""
        handle = super().get_route_handler()
        if all(dependency.call is not requester for dependency in self.dependant.dependencies):
            return handle

        async def handled(request: Request) -> Response:
            try:
                return await handle(request)
            except RequestValidationError:
                await _in_thread((await requester(request)).caller)
                raise

        return handled

    def _threaded(self, endpoint: Callable[..., Any]) -> Callable[..., Awaitable[Response]]:
        @wraps(endpoint)
        async def run(**values: Any) -> Response:
            return await _in_thread(lambda: self._answer(endpoint, values))

        return run

    def _answer(self, endpoint: Callable[..., Any], values: Mapping[str, Any]) -> Response:
        answer = endpoint(**{name: _with_caller(value) for name, value in values.items()})
        if isinstance(answer, Response):
            return answer
        field = self.response_field
        if field is None:
            raise TypeError(f"{self.path} needs a response_model, or an endpoint that returns a Response")
        value, errors = field.validate(answer, {}, loc=("response",))
        if errors:
            raise ResponseValidationError(errors=errors, body=answer)
        content = field.serialize_json(value)
        return Response(content, status_code=self.status_code or 200, media_type="application/json")


def _identified(endpoint: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    @wraps(endpoint)
    async def run(**values: Any) -> Any:
        for name, value in values.items():
            if isinstance(value, Requester):
                values[name] = await _in_thread(value.caller)
        return await endpoint(**values)

    return run


def _with_caller(value: Any) -> Any:
    return value.caller() if isinstance(value, Requester) else value


async def _in_thread(work: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(_threads, copy_context().run, work)
