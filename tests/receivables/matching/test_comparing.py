"""Two invoices side by side: every field, every line, and where exactly they differ."""

from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from marketplace.receivables.facts import InvoiceFacts, Line
from marketplace.receivables.matching.comparing import Side, compare_sides, pair_lines, pieces

RING, BOLT, SHIM = (Line("Turbine seal ring", "10", "40.00", 40_000), Line("Bolt M8", "100", "0.50", 5_000),
                    Line("Shim", "5", "2.00", 1_000))  # fmt: skip
LINES = st.builds(Line, st.text("abc ", min_size=1, max_size=6), st.sampled_from((None, "1", "2")), st.none(),
                  st.sampled_from((None, 100, 200)))  # fmt: skip


def side(ref: str, **facts: object) -> Side:
    kept = {"number": "INV-1", "currency": "GBP", "issued_on": date(2026, 3, 1), "face_minor": 46_000,
            "lines": (RING, BOLT, SHIM)}  # fmt: skip
    return Side(ref, InvoiceFacts(**{**kept, **facts}), "Thornfield Ltd", "07100001", "Kestrel plc", None)  # type: ignore[arg-type]


def test_every_field_says_how_it_compares() -> None:
    found = compare_sides(side("A", contract="C-1"), side("B", number="INV-I", face_minor=46_001, notes="Pay soon"))
    marks = {field.label: field.mark for _, fields in found.groups for field in fields}
    assert marks == {
        "Invoice number": "changed", "Document type": "same", "Contract": "added", "Issued": "same",
        "Amount due": "changed", "Seller": "same", "Seller’s number": "same", "Debtor": "same", "Notes": "removed",
    }  # fmt: skip
    assert found.counts == {"same": 5 + 3, "changed": 2, "added": 1, "removed": 1}


def test_numbers_are_told_apart_sign_by_sign() -> None:
    assert pieces("TPC-20418", "TPC-2O418") == (
        (("TPC-2", False), ("0", True), ("418", False)),
        (("TPC-2", False), ("O", True), ("418", False)),
    )


def test_currencies_are_shown_where_they_differ() -> None:
    same, other = compare_sides(side("A"), side("B")), compare_sides(side("A"), side("B", currency="EUR"))
    assert "Currency" not in [field.label for _, fields in same.groups for field in fields]
    assert "Currency" in [field.label for _, fields in other.groups for field in fields]


def test_lines_find_their_like_whatever_their_order() -> None:
    dearer = Line("Turbine seal rings", "10", "41.00", 41_000)
    extra = Line("Freight", None, None, 9_900)
    found = pair_lines([dearer, extra, SHIM], [SHIM, BOLT, RING])
    assert [(pair.mark, pair.mine, pair.theirs) for pair in found] == [
        ("changed", dearer, RING), ("added", extra, None), ("same", SHIM, SHIM), ("removed", None, BOLT),
    ]  # fmt: skip
    assert found[0].differs == ("words", "price", "amount_minor")
    assert found[0].mine_pieces[-1] == ("s", True)


@given(st.lists(LINES, max_size=6), st.lists(LINES, max_size=6))
def test_no_line_is_lost_or_shown_twice(mine: list[Line], theirs: list[Line]) -> None:
    found = pair_lines(mine, theirs)
    assert [pair.mine for pair in found if pair.mine is not None] == mine
    assert sorted(map(repr, (pair.theirs for pair in found if pair.theirs is not None))) == sorted(map(repr, theirs))


@given(st.lists(LINES, max_size=6))
def test_an_invoice_beside_itself_is_the_same(lines: list[Line]) -> None:
    assert {pair.mark for pair in pair_lines(lines, lines)} <= {"same"}


@given(st.text(max_size=20), st.text(max_size=20))
def test_pieces_put_together_are_the_texts(mine: str, theirs: str) -> None:
    left, right = pieces(mine, theirs)
    assert ("".join(text for text, _ in left), "".join(text for text, _ in right)) == (mine, theirs)
