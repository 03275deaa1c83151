"""Every reader answers hostile and damaged input with a value or its documented error, in bounded time and memory."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from readers import CHECKS

EXAMPLES = 50


@pytest.mark.parametrize("reader", CHECKS)
@settings(derandomize=True, max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_reader_answers_with_a_value_or_its_error(reader, data):
    CHECKS[reader](data)
