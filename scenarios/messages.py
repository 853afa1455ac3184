"""Refusals of the schema as sentences."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from types import UnionType
from typing import Annotated, Any, Union, cast, get_args, get_origin

from pydantic import BaseModel, ValidationError

from scenarios.schema import Scenario


def sentence(error: ValidationError, *, source: str) -> str:
    """The first thing wrong, with the file, the dotted key and what is allowed."""
    first = error.errors(include_url=False)[0]
    path = [str(part) for part in first["loc"]]
    key = ".".join(path) or "scenario"
    kind, context = first["type"], first.get("ctx", {})
    if kind == "extra_forbidden":
        allowed = _allowed_keys(path[:-1])
        near = difflib.get_close_matches(path[-1], allowed, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        return one_line(f"{source}: {key}: unknown key; {hint}allowed: {', '.join(allowed)}")
    if kind == "missing":
        return f"{source}: {key}: is missing"
    if kind == "value_error":
        return one_line(f"{source}: {key}: {context.get('error', first['msg'])}")
    message = first["msg"][0].lower() + first["msg"][1:]
    given = "" if isinstance(first["input"], dict | list) else f", not {str(first['input'])[:40]!r}"
    return one_line(f"{source}: {key}: {message.removeprefix('input ')}{given}{_bounds(path)}")


def _bounds(path: Iterable[str]) -> str:
    """What the schema allows for a number, as '(allowed: > 0, <= 30)'."""
    model: Any = Scenario
    field = None
    for part in path:
        if not (isinstance(model, type) and issubclass(model, BaseModel)) or part not in model.model_fields:
            return ""
        field = model.model_fields[part]
        model = _model_in(field.annotation)
    limits = [
        f"{sign} {getattr(rule, name):g}"
        for rule in (field.metadata if field else ())
        for name, sign in (("gt", ">"), ("ge", ">="), ("lt", "<"), ("le", "<="))
        if isinstance(getattr(rule, name, None), int | float)
    ]
    return f" (allowed: {', '.join(limits)})" if limits else ""


def _allowed_keys(path: Iterable[str]) -> list[str]:
    model: Any = Scenario
    for part in path:
        model = _model_in(cast(type[BaseModel], model).model_fields[part].annotation)
    return sorted(cast(type[BaseModel], model).model_fields)


def _model_in(annotation: Any) -> Any:
    if get_origin(annotation) in (Union, UnionType, Annotated):
        return next((a for a in get_args(annotation) if isinstance(a, type) and issubclass(a, BaseModel)), None)
    return annotation


def one_line(text: str) -> str:
    """Printable text on one line, at most 600 characters."""
    line = "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))
    return line if len(line) <= 600 else line[:597] + "..."
