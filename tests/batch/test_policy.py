"""A batch policy that makes no sense is refused where it is written."""

from typing import Any

import pytest

from goplugin.batch import BatchPolicy
from goplugin.handshake import Misuse


@pytest.mark.parametrize("policy", [{}, {"count": 2**63 - 1}, {"period": "1m30.5s"}, {"period": "0"}, {"check": "x"}])
def test_limits_that_the_wire_can_hold_are_taken(policy: dict[str, Any]) -> None:
    BatchPolicy(**policy)


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ({"count": -1}, "count is from 0"),
        ({"byte_size": 2**63}, "byte_size is from 0"),
        ({"period": "1 s"}, 'period is a duration such as "500ms" or "1m30s", not \'1 s\''),
        ({"period": "-1s"}, "period is a duration"),
        ({"period": "1d"}, "period is a duration"),
    ],
)
def test_others_are_refused(policy: dict[str, Any], message: str) -> None:
    with pytest.raises(Misuse, match=message):
        BatchPolicy(**policy)
