"""Schemas: the policy of the API is that of the command line."""

from __future__ import annotations

from dataclasses import fields

import pytest
from pydantic import ValidationError

from reelmill_producer.prompts.policy_options import PolicyOptions
from reelmill_producer.web.schemas import BatchPolicy, PolicyAsked, SubmitQuery

FIXED = {"owner", "worker_class"}
"""What a batch keeps from its beginning."""


def test_a_policy_has_the_options_of_submit() -> None:
    options = {item.name for item in fields(PolicyOptions)}

    assert set(BatchPolicy.model_fields) == options
    assert set(PolicyAsked.model_fields) == options - FIXED


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(ValidationError):
        BatchPolicy.model_validate({"colour": 1})


def test_a_query_gives_its_policy_alone() -> None:
    query = SubmitQuery.model_validate({"priority": 3, "seeds": "0..3"})

    assert query.policy() == BatchPolicy(priority=3)
