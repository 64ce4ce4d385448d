"""Which version is served: the table of go-plugin's own behaviour. interop_tests asks a real Go plugin the same."""

import pytest

from goplugin.handshake import Misuse, negotiate, parse_versions


@pytest.mark.parametrize(
    ("ours", "offered", "served"),
    [
        ({5, 6}, [5, 6], 6),
        ({5, 6}, [6, 5], 6),
        ({5, 6}, [5], 5),
        ({2, 3, 5}, [5, 2, 3], 5),
        ({5, 6}, [7, 99], 5),
        ({5, 6}, [], 5),
        ({4}, [5, 6], 4),
        ({0, 1}, [0], 0),
    ],
)
def test_the_highest_common_version_is_served_and_else_our_lowest(
    ours: set[int], offered: list[int], served: int
) -> None:
    assert negotiate(ours, offered) == served


def test_a_plugin_without_any_version_is_a_mistake() -> None:
    with pytest.raises(Misuse, match="at least one"):
        negotiate([], [1])


def test_the_offer_keeps_its_order_and_names_what_is_no_number() -> None:
    assert parse_versions("2,5,x,3,,+1") == ((2, 5, 3, 1), ("x", ""))
    assert parse_versions("") == ((), ())
