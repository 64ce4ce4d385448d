"""A batch is settled once, when all that came of it is; one failure of any part fails it."""

from hypothesis import given
from hypothesis import strategies as st

from goplugin.batch import Message
from goplugin.batch._components import Policy
from goplugin.batch._receipt import Gatherer, Parcel, Receipt


def test_a_receipt_tells_once_when_its_last_share_is_settled() -> None:
    told: list[str] = []
    receipt = Receipt(told.append)
    receipt.split(3)
    receipt.settle()
    receipt.settle()
    assert told == []
    receipt.settle()
    assert told == [""]


def test_the_first_failure_counts_whatever_becomes_of_the_others() -> None:
    told: list[str] = []
    receipt = Receipt(told.append)
    receipt.split(3)
    for error in ("", "first", "second"):
        receipt.settle(error)
    assert told == ["first"]


def test_a_batch_that_became_nothing_is_settled_at_once() -> None:
    told: list[str] = []
    Receipt(told.append).split(0)
    assert told == [""]
    Gatherer(Policy(count=2), 0.0).add(Parcel([], Receipt(told.append)), 0.0)
    assert told == ["", ""]


@given(st.lists(st.lists(st.integers(0, 7), max_size=3), max_size=12), st.integers(1, 9), st.data())
def test_however_batches_are_split_and_gathered_each_is_settled_once_and_fails_only_with_a_parcel_that_has_a_part_of_it(
    splits: list[list[int]], count: int, data: st.DataObject
) -> None:
    told: dict[int, list[str]] = {number: [] for number in range(len(splits))}
    before: list[Parcel] = []
    for number, sizes in enumerate(splits):
        receipt = Receipt(told[number].append)
        receipt.split(len(sizes))
        before += [Parcel([Message(b"%d" % number) for _ in range(size)], receipt) for size in sizes]
    gatherer, parcels = Gatherer(Policy(count=count), 0.0), list[Parcel]()
    for parcel in data.draw(st.permutations(before)):
        parcels += gatherer.add(parcel, 0.0)
    parcels += gatherer.flush(0.0)
    assert [len(parcel.messages) for parcel in parcels[:-1]] == [count] * (len(parcels) - 1)
    failed: set[int] = set()
    for parcel in data.draw(st.permutations(parcels)):
        fails = data.draw(st.booleans())
        assert not any(told[int(message.payload)] for message in parcel.messages)
        failed |= {int(message.payload) for message in parcel.messages if fails}
        parcel.settle("bad" if fails else "")
    assert told == {number: ["bad" if number in failed else ""] for number in told}
