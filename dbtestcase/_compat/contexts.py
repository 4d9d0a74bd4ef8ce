"""Differences between versions of Flask: its contexts."""

from __future__ import annotations

from typing import Any


def current_app_context() -> Any:
    """Return the application context that is on top, or ``None``."""
    import flask.globals

    known: Any = flask.globals
    if hasattr(known, "_cv_app"):
        return known._cv_app.get(None)
    return known._app_ctx_stack.top


def pop_context_left_open() -> None:
    """Pop the context on top: the request that brought it along, where there was one."""
    request, context = current_request_context(), current_app_context()
    if request is not None and _app_context_brought_by(request) is context:
        request.pop()
    else:
        context.pop()


def current_request_context() -> Any:
    """Return the request context that is on top, or ``None``."""
    import flask.globals

    known: Any = flask.globals
    if hasattr(known, "_cv_request"):
        return known._cv_request.get(None)
    return known._request_ctx_stack.top


def _app_context_brought_by(request: Any) -> Any:
    """Return the application context that a request pushed where there was none of its app."""
    tokens = getattr(request, "_cv_tokens", None)
    if tokens is not None:
        return tokens[-1][1] if tokens else None
    return request._implicit_app_ctx_stack[-1] if request._implicit_app_ctx_stack else None
