"""Schemas of the farm: a field that is not known is refused in whatever a client sends."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ValidationError

from reelmill_producer.web import farm_schemas

SENT = [
    value
    for name, value in vars(farm_schemas).items()
    if name.endswith("Asked") and isinstance(value, type) and issubclass(value, BaseModel)
]


def test_there_are_schemas_of_what_is_sent() -> None:
    assert {schema.__name__ for schema in SENT} == {"OwnerAsked", "QuarantineAsked", "ScheduleAsked", "WebhookAsked"}


@pytest.mark.parametrize("schema", SENT)
def test_an_unknown_field_is_refused(schema: type[BaseModel]) -> None:
    with pytest.raises(ValidationError, match="colour"):
        schema.model_validate({"colour": 1})
