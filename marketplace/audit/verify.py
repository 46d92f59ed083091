#!/usr/bin/env python3
"""Verify a Duebill audit bundle: python verify.py BUNDLE.zip --key KEY [--previous NOTE] [--json]

One file, Python 3.11 or later, standard library only, no network. KEY is a verifier key (name+id+base64) or a file
that holds one; get it from the regulator's page or from a witness, not from the bundle. NOTE is a file with a
checkpoint you kept. The format is written down byte for byte in docs/audit-format.md. Names the first thing that is
wrong and exits 1; wrong use exits 2.
"""

import argparse
import base64
import csv
import hashlib
import io
import json
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

Row = dict[str, Any]
Reader = Callable[[Row], list[Row]]
Point = tuple[int, int, int, int]

FORMAT = "duebill-bundle/1"
SEAL = b"duebill-seal sha256:"
CHUNK = 1 << 20
EMPTY_ROOT = hashlib.sha256(b"").digest()
# Every ledger account: pool, +1 where debits increase it or -1 where credits do, and whether it may never be negative.
CHART = {
    "provider_lender": ("lender", 1, False), "investor_cash": ("lender", -1, True),
    "seller_advance": ("lender", -1, True), "advance_in_transit": ("lender", -1, True),
    "withdrawal_in_transit": ("lender", -1, True), "provider_borrower": ("borrower", 1, False),
    "debtor_receipts": ("borrower", -1, True), "seller_residual": ("borrower", -1, True),
    "residual_in_transit": ("borrower", -1, True), "seller_cash": ("borrower", -1, True),
    "suspense": ("borrower", -1, True), "return_in_transit": ("borrower", -1, True),
    "provider_platform": ("platform", 1, False), "platform_reserve": ("platform", -1, True),
    "bank_lender": ("lender", 1, False), "bank_borrower": ("borrower", 1, False),
    "bank_unexplained": ("borrower", 1, False), "bank_platform": ("platform", 1, False),
    "platform_fees": ("platform", -1, False), "platform_loss": ("platform", 1, False),
    "processing_costs": ("platform", 1, False),
}  # fmt: skip


class Wrong(Exception):
    """The first thing that is wrong, in words."""


def demand(holds: object, words: str) -> None:
    """Stop at the first thing that does not hold."""
    if not holds:
        raise Wrong(words)


def read_json(raw: bytes, what: str) -> Row:
    """Read one JSON object; a key that comes twice is an error."""
    try:
        text = raw.decode().rstrip("\n")
        value, end = DECODER.raw_decode(text)
    except (ValueError, RecursionError) as error:
        raise Wrong(f"{what} is not sound JSON: {error}") from None
    if end != len(text) or not isinstance(value, dict):
        raise Wrong(f"{what} is not one JSON object")
    return value


def _no_repeats(pairs: list[tuple[str, Any]]) -> Row:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key comes twice")
    return value


def _no_fraction(text: str) -> None:
    raise ValueError(f"{text} is not a whole number")


DECODER = json.JSONDecoder(object_pairs_hook=_no_repeats, parse_float=_no_fraction, parse_constant=_no_fraction)


# -- Ed25519 (RFC 8032 §5.1), verification only -------------------------------------------------------------------

P = 2**255 - 19
Q = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)


def _plus(a: Point, b: Point) -> Point:
    e, f = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    g, h = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    x, y, z, t = f - e, h - g, h + g, f + e
    return x * y % P, z * t % P, y * z % P, x * t % P


def _point(raw: bytes) -> Point | None:
    """Decode a point (RFC 8032 §5.1.3), or None."""
    y = int.from_bytes(raw, "little")
    sign, y = y >> 255, y & ((1 << 255) - 1)
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT_OF_MINUS_ONE % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    x = P - x if x & 1 != sign else x
    return x, y, 1, x * y % P


def _table(point: Point | None) -> list[list[Point]]:
    """Return 64 rows of 16 multiples, so that any multiple is 64 additions."""
    rows: list[list[Point]] = []
    if point is None:
        raise Wrong("a key is no point of the curve")
    for _ in range(64):
        row: list[Point] = [(0, 1, 1, 0)]
        for _ in range(15):
            row.append(_plus(row[-1], point))
        rows.append(row)
        point = _plus(row[-1], point)
    return rows


def _times(table: list[list[Point]], number: int) -> Point:
    total = (0, 1, 1, 0)
    for row in table:
        total = _plus(total, row[number & 15])
        number >>= 4
    return total


BASE = _table(_point((4 * pow(5, P - 2, P) % P).to_bytes(32, "little")))


class Key:
    """A verifier key: name+id+base64(0x01, public key). Source: C2SP signed-note."""

    def __init__(self, words: str) -> None:
        name, _, rest = words.strip().partition("+")
        key_id, _, packed = rest.partition("+")
        try:
            raw = base64.b64decode(packed, validate=True)
        except ValueError:
            raw = b""
        point = _point(raw[1:]) if len(raw) == 33 and raw[0] == 1 else None
        demand(name and point, f"{words.strip()[:60]!r} is not a verifier key")
        self.words, self.name, self.raw = words.strip(), name, raw[1:]
        self.id = hashlib.sha256(name.encode() + b"\n" + raw).digest()[:4]
        demand(self.id.hex() == key_id, f"the key id of {name} is not that of its key")
        self.table = _table(point)

    def signed(self, message: bytes, signature: bytes) -> bool:
        """Return whether the signature is this key's (RFC 8032 §5.1.7)."""
        if len(signature) != 64:
            return False
        r, s = _point(signature[:32]), int.from_bytes(signature[32:], "little")
        if r is None or s >= Q:
            return False
        h = int.from_bytes(hashlib.sha512(signature[:32] + self.raw + message).digest(), "little") % Q
        left, right = _times(BASE, s), _plus(r, _times(self.table, h))
        return not (left[0] * right[2] - right[0] * left[2]) % P and not (left[1] * right[2] - right[1] * left[2]) % P


def open_note(note: str, keys: list[Key], what: str) -> str:
    """Return the text of a note that every one of the keys has signed. Source: C2SP signed-note."""
    text, gap, lines = note.rpartition("\n\n")
    demand(gap and lines.endswith("\n"), f"{what} is not a signed note")
    missing = list(keys)
    for line in lines[:-1].split("\n"):
        parts = line.split(" ")
        demand(len(parts) == 3 and parts[0] == "\u2014", f"{what} has a malformed signature line")
        try:
            raw = base64.b64decode(parts[2], validate=True)
        except ValueError:
            raise Wrong(f"{what} has a malformed signature line") from None
        key = next((key for key in missing if key.name == parts[1] and key.id == raw[:4]), None)
        if key is None:
            raise Wrong(f"{what} bears a signature of an unexpected key {parts[1]} {raw[:4].hex()}")
        demand(key.signed((text + "\n").encode(), raw[4:]), f"the signature of {key.name} on {what} is wrong")
        missing.remove(key)
    demand(not missing, f"{what} is not signed by {missing[0].words if missing else ''}")
    return text + "\n"


def read_checkpoint(text: str, origin: str, what: str) -> tuple[int, bytes]:
    """Return size and root of a checkpoint. Source: C2SP tlog-checkpoint."""
    lines = text.split("\n")
    demand(len(lines) == 4 and lines[0] == origin and lines[3] == "", f"{what} is not a checkpoint of {origin}")
    demand(lines[1].isascii() and lines[1].isdigit() and str(int(lines[1])) == lines[1], f"{what} has no size")
    try:
        root = base64.b64decode(lines[2], validate=True)
    except ValueError:
        root = b""
    demand(len(root) == 32 and base64.b64encode(root).decode() == lines[2], f"{what} has no root")
    return int(lines[1]), root


# -- the tree (RFC 9162 §2.1) -------------------------------------------------------------------------------------


class Tree:
    """The right edge of a growing tree."""

    def __init__(self) -> None:
        self.size = 0
        self.peaks: list[bytes] = []

    def add(self, leaves: bytes) -> None:
        """Add leaf hashes (joined bytes), by the largest aligned blocks."""
        at, sha256 = 0, hashlib.sha256
        while at < len(leaves):
            left = (len(leaves) - at) // 32
            width = min(left, self.size & -self.size or left, 4096)
            width = 1 << (width.bit_length() - 1)
            level = leaves[at : at + 32 * width]
            while len(level) > 32:
                level = b"".join([sha256(b"\1" + level[i : i + 64]).digest() for i in range(0, len(level), 64)])
            at, index, self.size = at + 32 * width, self.size // width, self.size + width
            while index & 1:
                level, index = sha256(b"\1" + self.peaks.pop() + level).digest(), index >> 1
            self.peaks.append(level)

    def root(self) -> bytes:
        """Return the root hash."""
        current = self.peaks[-1] if self.peaks else EMPTY_ROOT
        for peak in reversed(self.peaks[:-1]):
            current = hashlib.sha256(b"\1" + peak + current).digest()
        return current


def consistent(first: int, second: int, proof: list[bytes], first_root: bytes, second_root: bytes) -> bool:
    """Return whether the proof leads from the first root to the second (RFC 9162 §2.1.4.2), 0 < first <= second."""
    if first == second:
        return not proof and first_root == second_root
    steps = [first_root, *proof] if first & (first - 1) == 0 else list(proof)
    fn, sn = first - 1, second - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    if not steps:
        return False
    old = new = steps[0]
    for step in steps[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            old, new = hashlib.sha256(b"\1" + step + old).digest(), hashlib.sha256(b"\1" + step + new).digest()
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            new = hashlib.sha256(b"\1" + new + step).digest()
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and old == first_root and new == second_root


# -- the market replayed ------------------------------------------------------------------------------------------


class Replay:
    """Money and title as the events say: every entry balances, nothing dips below zero, units sum to face."""

    def __init__(self) -> None:
        self.accounts: dict[str, list[Any]] = {}  # id: [(code, organisation, currency), posted, held]
        self.holds: dict[str, tuple[str, int]] = {}
        self.titles: dict[str, list[Any]] = {}  # receivable: [face, holdings]
        self.keys: set[str] = set()
        self.sold: set[str] = set()
        self.entries = self.moves = 0

    def take(self, seq: int, event: Row) -> None:
        """Apply one event."""
        verb, after = event.get("verb"), event.get("after") or {}
        try:
            if verb == "post_entry":
                self._entry(seq, after)
            elif verb == "place_hold":
                self._hold(seq, event["subject_id"], after)
            elif verb == "resolve_holds":
                self._free(seq, after["holds"])
            elif verb in ("register_title", "assign_title", "transfer_title", "revive_title", "end_title"):
                self._title(seq, verb, event["subject_id"], event.get("before") or {}, after)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise Wrong(f"event {seq} ({verb}) lacks what it must state: {error!r}") from None

    def _entry(self, seq: int, after: Row) -> None:
        sums: dict[tuple[str, str], int] = {}
        touched: list[list[Any]] = []
        self._free(seq, after.get("holds_posted", []))
        for leg in after["postings"]:
            code, minor, who = leg["code"], int(leg["minor"]), leg["account_id"]
            if code not in CHART:
                raise Wrong(f"event {seq}: the chart has no account {code}")
            pool, side, _ = CHART[code]
            name = (code, leg["organisation_id"], leg["currency"])
            account = self.accounts.setdefault(who, [name, 0, 0])
            if leg["pool"] != pool or account[0] != name:
                raise Wrong(f"event {seq}: account {who} was {account[0]}, now {name} in pool {leg['pool']}")
            account[1] += side * minor
            touched.append(account)
            sums[leg["currency"], pool] = sums.get((leg["currency"], pool), 0) + minor
        demand(len(touched) >= 2, f"event {seq}: an entry with fewer than two postings")
        for (currency, pool), total in sums.items():
            if total:
                raise Wrong(f"event {seq}: the entry does not balance in {currency}, pool {pool}: {total}")
        for account in touched:
            self._guard(seq, account)
        self.entries += 1

    def _hold(self, seq: int, hold: str, after: Row) -> None:
        demand(hold not in self.holds, f"event {seq}: hold {hold} was placed before")
        account, minor = self.accounts.get(after["account_id"]), int(after["minor"])
        if account is None or minor <= 0:
            raise Wrong(f"event {seq}: a hold on an account without money")
        account[2] += minor
        self.holds[hold] = (after["account_id"], minor)
        self._guard(seq, account)

    def _free(self, seq: int, holds: list[str]) -> None:
        for hold in holds:
            demand(hold in self.holds, f"event {seq}: hold {hold} is not open")
            account, minor = self.holds.pop(hold)
            self.accounts[account][2] -= minor

    def _guard(self, seq: int, account: list[Any]) -> None:
        if CHART[account[0][0]][2]:
            free = account[1] - account[2]
            if free < 0:
                raise Wrong(f"event {seq}: guarded account {account[0][0]} of {account[0][1]} dips to {free}")

    def _title(self, seq: int, verb: str, receivable: str, before: Row, after: Row) -> None:
        held, title = after["holdings"], self.titles.get(receivable)
        if verb == "register_title":
            if title is not None:
                raise Wrong(f"event {seq}: receivable {receivable} is registered twice")
            demand(after["key"] not in self.keys, f"event {seq}: the key of {receivable} was registered before")
            self.keys.add(after["key"])
            title = self.titles[receivable] = [int(after["face_minor"]), []]
        elif title is None or not title[1]:
            raise Wrong(f"event {seq}: receivable {receivable} has no living title")
        elif before["holdings"] != title[1]:
            raise Wrong(f"event {seq}: the holdings before do not follow from the log")
        if verb == "transfer_title":
            self._transfer(seq, receivable, title[1], after)
        elif verb == "revive_title":
            demand(held == title[1] and len(held) == 1, f"event {seq}: {receivable} comes back and moves at once")
        elif after.get("cause") == "award":
            demand(receivable not in self.sold, f"event {seq}: receivable {receivable} is sold twice")
            self.sold.add(receivable)
        edge = 0
        for _, first, beyond in held:
            demand(first == edge and beyond > first, f"event {seq}: the units of {receivable} overlap or leave a gap")
            edge = beyond
        want = 0 if verb == "end_title" else title[0]
        demand(edge == want, f"event {seq}: the units of {receivable} sum to {edge}, not to {want}")
        title[1] = held
        self.moves += 1

    def _transfer(self, seq: int, receivable: str, held: list[list[Any]], after: Row) -> None:
        """Check that just the units named went from the giver, who held them all, to the taker."""
        giver, taker = after["from_owner"], after["to_owner"]
        first, beyond = int(after["first_unit"]), int(after["first_unit"]) + int(after["units"])
        given = [row for row in held if row[1] < beyond and first < row[2]]
        demand(beyond > first and giver != taker, f"event {seq}: a transfer of nothing")
        whole = sum(min(row[2], beyond) - max(row[1], first) for row in given) == beyond - first
        demand(whole and all(row[0] == giver for row in given),
               f"event {seq}: units of {receivable} are transferred by one who does not hold them")  # fmt: skip
        opened = [[taker, first, beyond]]
        opened += [[giver, given[0][1], first]] if given[0][1] < first else []
        opened += [[giver, beyond, given[-1][2]]] if given[-1][2] > beyond else []
        demand(sorted(after["opened"], key=lambda row: row[1]) == sorted(opened, key=lambda row: row[1]),
               f"event {seq}: other units of {receivable} moved than were transferred")  # fmt: skip
        stays = [row for row in held if row not in given]
        demand(after["holdings"] == sorted(stays + opened, key=lambda row: row[1]),
               f"event {seq}: the holdings after do not follow from the transfer")  # fmt: skip

    def dump(self) -> Iterator[list[Any]]:
        """Return the state as lines of JSON, to open a later bundle with."""
        yield from (["account", who, *name, posted, on_hold] for who, (name, posted, on_hold) in self.accounts.items())
        yield from (["hold", hold, account, minor] for hold, (account, minor) in self.holds.items())
        yield from (["title", receivable, face, held] for receivable, (face, held) in self.titles.items())
        yield from (["key", key] for key in self.keys)
        yield from (["sold", receivable] for receivable in self.sold)

    def load(self, row: list[Any]) -> None:
        """Take one line of an opening state."""
        match row:
            case ["account", who, code, organisation, currency, posted, on_hold] if code in CHART:
                self.accounts[who] = [(code, organisation, currency), int(posted), int(on_hold)]
            case ["hold", hold, account, minor]:
                self.holds[hold] = (account, int(minor))
            case ["title", receivable, face, held]:
                self.titles[receivable] = [int(face), held]
            case ["key", key]:
                self.keys.add(key)
            case ["sold", receivable]:
                self.sold.add(receivable)
            case _:
                raise Wrong(f"the opening state has a line of no known kind: {row!r:.80}")


# -- one auction cleared again (UPM-1) ----------------------------------------------------------------------------


def share(total: int, weights: list[int], ties: list[tuple[int, str]]) -> list[int]:
    """Share by largest remainder; equal remainders go to the lower tie."""
    whole = sum(weights)
    parts = [total * w // whole for w in weights]
    order = sorted(range(len(weights)), key=lambda i: (-(total * weights[i] % whole), ties[i]))
    for i in order[: total - sum(parts)]:
        parts[i] += 1
    return parts


def clear(book: Row) -> Row:
    """Return the result of a book under UPM-1, by the letter of the rules."""
    target, cap = book["target_minor"], book["group_cap_bps"] * book["target_minor"] // 10**4
    accepted: int | None = book.get("accepted_minor")  # a smaller amount that the seller took
    sought: int = target if accepted is None else accepted
    least: int = -(-book["min_share_bps"] * target // 10**4) if accepted is None else accepted
    room: dict[str, int] = {}
    stand: list[tuple[Row, int]] = []
    cuts: list[Row] = []
    refusals: list[Row] = []
    passed: list[str] = []
    for bid in sorted(book["bids"], key=lambda b: (b["rate_bps"], b["seq"])):
        why = [name for name, broken in (
            ("above_reserve", bid["rate_bps"] > book["reserve_bps"]),
            ("below_minimum", bid["cash_minor"] < book["minimum_minor"]),
            ("not_lot_multiple", bid["cash_minor"] % book["lot_size_minor"]),
            ("related_party", bid["group"] in book["related_groups"]),
        ) if broken]  # fmt: skip
        cash = min(bid["cash_minor"], room.get(bid["group"], cap))
        if not why and (cash == 0 or cash < bid["min_fill_minor"]):
            why = ["over_group_cap"]
        if why:
            refusals.append({"id": bid["id"], "reasons": why})
            continue
        room[bid["group"]] = room.get(bid["group"], cap) - cash
        stand.append((bid, cash))
        if cash != bid["cash_minor"]:
            cuts.append({"id": bid["id"], "cash_minor": cash})
    while True:
        stop, below = None, 0
        for rate, level in groupby(stand, key=lambda s: s[0]["rate_bps"]):
            offered = sum(cash for _, cash in level)
            if below + offered >= sought:
                stop = rate
                break
            below += offered
        if stop is None:
            break
        edge = [s for s in stand if s[0]["rate_bps"] == stop]
        parts = share(sought - below, [cash for _, cash in edge], [(b["seq"], b["id"]) for b, _ in edge])
        short = [b for (b, _), x in zip(edge, parts, strict=True) if 0 < x < b["min_fill_minor"]]
        if not short:
            break
        worst = max(short, key=lambda b: (b["min_fill_minor"], b["seq"]))
        stand = [s for s in stand if s[0] is not worst]
        passed.append(worst["id"])
    if stop is not None:
        takes = [s for s in stand if s[0]["rate_bps"] < stop]
        takes += [(b, x) for (b, _), x in zip(edge, parts, strict=True) if x]
    else:
        enough = below and below >= least
        takes, stop = (list(stand), stand[-1][0]["rate_bps"]) if enough else ([], None)
    year, days = 10**4 * 365, book["tenor_days"]
    awarded = sum(x for _, x in takes)
    if book["price_rule"] == "uniform" and stop is not None:
        whole = awarded * stop * days // year
        costs = share(whole, [x for _, x in takes], [(b["seq"], b["id"]) for b, _ in takes])
        rates = [stop] * len(takes)
    else:
        demand(book["price_rule"] in ("uniform", "pay_as_bid"), "the book has no known price rule")
        costs, rates = [x * b["rate_bps"] * days // year for b, x in takes], [b["rate_bps"] for b, _ in takes]
    fills = [{"id": b["id"], "cash_minor": x, "discount_minor": c, "rate_bps": r}
             for (b, x), c, r in zip(takes, costs, rates, strict=True)]  # fmt: skip
    return {
        "outcome": "failed" if not takes else "full" if awarded == sought else "partial",
        "stop_out_bps": stop, "awarded_minor": awarded, "discount_minor": sum(costs),
        "standing_minor": sum(cash for _, cash in stand),
        "fills": sorted(fills, key=lambda f: f["id"]), "cuts": sorted(cuts, key=lambda c: c["id"]),
        "refusals": sorted(refusals, key=lambda r: r["id"]), "passed_over": passed,
    }  # fmt: skip


def check_transcript(raw: bytes, sha256: str, what: str) -> Row:
    """Check that a transcript has the hash on record and that its book gives its result."""
    demand(hashlib.sha256(raw).hexdigest() == sha256, f"the transcript of {what} is not the one on record")
    script = read_json(raw, f"the transcript of {what}")
    if script.get("rule") == "JC-1":
        return check_session_lot(script, what)
    known = script.get("rule") == "UPM-1" and script.get("rule_version") in ("1.0", "1.1")
    demand(known and isinstance(script.get("book"), dict), f"{what} follows no known rule")
    reduced = script["rule_version"] == "1.1"
    demand(reduced == ("accepted_minor" in script["book"]), f"{what} is of another version of the rules")
    try:
        result = clear(script["book"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise Wrong(f"the book of {what} cannot be cleared: {error!r}") from None
    for key in sorted({*result, *script["result"]}):
        demand(result.get(key) == script["result"].get(key), f"{what} does not recompute: {key} differs")
    return script


def check_session_lot(script: Row, what: str) -> Row:
    """Check that a lot which cleared with others got no more than its bids, its target and all caps allow.

    That no other filling is worth more is for `bin/market auction replay`, which has the solvers.
    """
    try:
        book, result, session = script["book"], script["result"], script["session"]
        demand(script.get("rule_version") == "1.0", f"{what} follows no known rule")
        demand(any(one["book"] == book for one in session["lots"]), f"{what} is no lot of its session")
        bids = {bid["id"]: bid for bid in book["bids"]}
        taken: dict[str, int] = {}
        for fill in result["fills"]:
            bid = bids[fill["id"]]
            demand(0 < fill["cash_minor"] <= bid["cash_minor"], f"{what}: a fill is more than its bid")
            demand(bid["min_fill_minor"] <= fill["cash_minor"], f"{what}: a fill is less than its bid takes")
            demand(bid["rate_bps"] <= fill["rate_bps"] <= book["reserve_bps"], f"{what}: a fill earns too little")
            demand(bid["group"] not in book["related_groups"], f"{what}: a related party is filled")
            taken[bid["group"]] = taken.get(bid["group"], 0) + fill["cash_minor"]
            taken[""] = taken.get("", 0) + fill["cash_minor"]
            for who, minor in session["budgets"]:
                demand(who != bid["investor"] or fill["cash_minor"] <= minor, f"{what}: a budget is exceeded")
        cap = book["group_cap_bps"] * book["target_minor"] // 10_000
        demand(all(minor <= cap for group, minor in taken.items() if group), f"{what}: a group is over its cap")
        demand(taken.get("", 0) == result["awarded_minor"] <= book["target_minor"], f"{what}: fills do not add up")
    except (KeyError, TypeError, ValueError) as error:
        raise Wrong(f"{what} lacks what it must state: {error!r}") from None
    return script


class Auctions:
    """Lots and bids as the events say, so that an award rests on the bids that were placed and no others."""

    def __init__(self) -> None:
        self.lots: dict[str, Row] = {}
        self.bids: dict[str, dict[str, Row]] = {}
        self.lot_of: dict[str, str] = {}
        self.awards: set[tuple[str, int]] = set()

    def take(self, event: Row) -> None:
        """Note what opens a lot, places or takes back a bid, or makes an award."""
        verb, after, subject = event.get("verb"), event.get("after") or {}, str(event.get("subject_id"))
        if verb == "open_lot" and event.get("subject_kind") == "lot":
            self.lots[subject] = after
            self.bids[subject] = {}
        elif verb == "place_bid" and event.get("subject_kind") == "bid" and after.get("lot_id") in self.bids:
            self.bids[after["lot_id"]][subject] = after
            self.lot_of[subject] = after["lot_id"]
        elif verb == "withdraw_bid" and subject in self.lot_of:
            del self.bids[self.lot_of.pop(subject)][subject]

    def award(self, seq: int, event: Row, raw: bytes) -> None:
        """Check one award: the hash on record, the book against lot and bids, the result against the rules."""
        what, lot = f"the award of event {seq}", event["subject_id"]
        after = event["after"]
        script = check_transcript(raw, after["sha256"], what)
        book, terms = script["book"], self.lots.get(lot)
        for key in ("outcome", "stop_out_bps", "awarded_minor", "discount_minor"):
            demand(script["result"][key] == after[key], f"{what}: {key} is not that of its transcript")
        demand(book["lot"] == lot, f"{what} has the book of another lot")
        if terms is not None:
            for key in ("currency", "face_minor", "lot_size_minor", "minimum_minor", "reserve_bps", "price_rule"):
                demand(book[key] == terms[key], f"{what}: {key} is not that of the lot")
            placed = self.bids[lot]
            demand({bid["id"] for bid in book["bids"]} == set(placed), f"{what} leaves out or invents a bid")
            if after["round"] == 1 or "accepted_minor" in book:
                demand(book["target_minor"] == terms["target_minor"], f"{what}: target_minor is not that of the lot")
            demand(after["round"] > 1 or "accepted_minor" not in book, f"{what}: nobody accepted a smaller amount yet")
            for bid in book["bids"]:
                known = placed.get(bid["id"], {})
                for ours, theirs in (("investor", "investor_id"), ("group", "group_id"),
                                     ("cash_minor",) * 2, ("min_fill_minor",) * 2, ("rate_bps",) * 2):  # fmt: skip
                    demand(bid[ours] == known.get(theirs), f"{what}: {ours} of bid {bid['id']} was otherwise placed")
            came = [placed[bid["id"]]["seq"] for bid in sorted(book["bids"], key=lambda bid: bid["seq"])]
            demand(came == sorted(came), f"{what}: its bids are not in the order in which they were placed")
        self.awards.add((lot, after["round"]))


# -- the bundle ---------------------------------------------------------------------------------------------------


def posting_rows(event: Row) -> list[Row]:
    """Return what the journal pack must say about an entry."""
    after = event["after"]
    head = {key: after[key] for key in ("kind", "subject_kind", "subject_id", "business_on")}
    head["entry_id"] = event["subject_id"]
    return [head | leg for leg in after["postings"]]


def holding_rows(event: Row) -> list[Row]:
    """Return what the title pack must say about a move of title."""
    after = event["after"]
    return [{"receivable_id": event["subject_id"], "owner_id": owner, "first_unit": first, "beyond_unit": beyond}
            for owner, first, beyond in after.get("opened", after["holdings"])]  # fmt: skip


def own_row(name: str, *fields: str) -> Reader:
    """Return a reader of one row with the subject's id under `name` and fields of `after`."""
    return lambda event: [{name: event["subject_id"], **{field: event["after"][field] for field in fields}}]


def access_row(event: Row) -> list[Row]:
    """Return what the access pack must say about a look-up."""
    return [{key: event.get(key) for key in ("at", "verb", "actor_role", "actor_user_id", "subject_kind", "reason")}]


PROVED: dict[str, dict[str, Reader]] = {
    "packs/access/look_up": dict.fromkeys(("look_up", "export_bundle", "replay_auction"), access_row),
    "packs/journal/posting": {"post_entry": posting_rows},
    "packs/journal/hold": {"place_hold": own_row("hold_id", "account_id", "minor", "subject_kind", "subject_id")},
    "packs/title/holding": dict.fromkeys(("register_title", "assign_title", "transfer_title"), holding_rows),
    "packs/auctions/bid": {
        "place_bid": own_row("bid_id", "lot_id", "seq", "investor_id", "cash_minor", "min_fill_minor", "rate_bps")},
    "packs/auctions/award": {
        "award": own_row("lot_id", "round", "outcome", "stop_out_bps", "awarded_minor", "discount_minor", "sha256")},
}  # fmt: skip


FORMULA = frozenset("=+-@\t\r")


def cell(value: Any) -> str:
    """Return a value as its CSV cell: safe to open in a spreadsheet."""
    if type(value) is str:
        return "'" + value if value[:1] in FORMULA else value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)


class Member(io.RawIOBase):
    """A file of the bundle that hashes itself while it is read."""

    def __init__(self, bundle: "Bundle", name: str) -> None:
        demand(name in bundle.names, f"{name} is missing")
        self.name, self.stream, self.hash, self.bundle = name, bundle.zip.open(name), hashlib.sha256(), bundle

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            got = self.stream.read(len(buffer))
        except Exception as error:  # zipfile and zlib each have their own
            raise Wrong(f"{self.name} cannot be read: {error}") from None
        self.hash.update(got)
        buffer[: len(got)] = got
        if not got:
            self.bundle.hashes[self.name] = self.hash.hexdigest()
        return len(got)


class Bundle:
    """The file, opened: its members, and the hashes of those read to their end."""

    def __init__(self, path: str) -> None:
        self.hashes: dict[str, str] = {}
        try:
            self.zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise Wrong(f"this is not a whole ZIP file: {error}") from None
        self.names = self.zip.namelist()
        demand(len(set(self.names)) == len(self.names), "a file is in the bundle twice")
        seal = self.zip.comment
        demand(seal.startswith(SEAL) and len(seal) == len(SEAL) + 64, "the bundle has no seal")
        told, left = hashlib.sha256(), Path(path).stat().st_size - len(seal)
        with open(path, "rb") as file:
            while left > 0 and (block := file.read(min(CHUNK, left))):
                told.update(block)
                left -= len(block)
        demand(told.hexdigest().encode() == seal[len(SEAL) :], "the bundle is damaged: its bytes do not match its seal")

    def open(self, name: str) -> io.BufferedReader:
        """Open a member for reading bytes."""
        return io.BufferedReader(Member(self, name), CHUNK)

    def read(self, name: str) -> bytes:
        """Return a member whole."""
        with self.open(name) as file:
            return file.read()

    def lines(self, name: str) -> Iterator[bytes]:
        """Yield the lines of a member, without their newlines."""
        with self.open(name) as file:
            for line in file:
                demand(line[-1:] == b"\n", "a file breaks off in the middle of a line")
                yield line[:-1]


class Pack:
    """One table of a pack: JSON lines and CSV that must say the same, row by row."""

    def __init__(self, bundle: Bundle, told: Row) -> None:
        self.path, self.columns, self.rows = told["path"], told["columns"], told["rows"]
        self.json, self.seen = bundle.lines(self.path + ".jsonl"), 0
        wrapped = io.TextIOWrapper(bundle.open(self.path + ".csv"), "utf-8", newline="")
        self.csv = csv.reader(wrapped, strict=True)
        demand(next(self.csv, None) == self.columns, f"{self.path}.csv has other columns")

    def next(self) -> Row | None:
        """Return the next row, or None at the end."""
        line, cells = next(self.json, None), next(self.csv, None)
        demand((line is None) == (cells is None), f"{self.path}: CSV and JSON lines have not the same rows")
        if line is None:
            demand(self.seen == self.rows, f"{self.path} has {self.seen} rows, not {self.rows}")
            return None
        self.seen += 1
        row = read_json(line, self.path)
        if list(row) != self.columns:
            raise Wrong(f"row {self.seen} of {self.path} has other columns")
        if list(map(cell, row.values())) != cells:
            raise Wrong(f"row {self.seen} of {self.path}: CSV and JSON lines differ")
        return row

    def expect(self, seq: int, wanted: list[Row]) -> list[Row]:
        """Check that the next rows are what an event says; return them."""
        rows = []
        for want in wanted:
            row = self.next()
            if row is None:
                raise Wrong(f"{self.path} lacks a row for event {seq}")
            if row.get("event_seq") != seq:
                raise Wrong(f"{self.path}: a row is missing or added before event {seq}")
            for key, value in want.items():
                if row.get(key) != value and str(row.get(key)) != value:
                    raise Wrong(f"{self.path}: {key} of event {seq} is {row.get(key)!r}, the event says {value!r}")
            rows.append(row)
        return rows


class Verification:
    """All the checks of a bundle, in order; `checks` says what was looked at."""

    def __init__(self, path: str, key: str, previous: str | None = None) -> None:
        self.checks: list[Row] = []
        self.bundle, self.previous = Bundle(path), previous
        self.trusted = Key(key)
        self.about = read_json(self.bundle.read("bundle.json"), "bundle.json")
        demand(self.about.get("format") == FORMAT, f"this verifier reads {FORMAT}")

    def run(self) -> Row:
        """Run every check; raise Wrong at the first that fails. Return the report."""
        try:
            return self._run()
        except (KeyError, TypeError, AttributeError, csv.Error, UnicodeError, IndexError, ValueError) as error:
            raise Wrong(f"the bundle lacks something or has it in another form: {error!r}") from None

    def _run(self) -> Row:
        points = self._checkpoints()
        self._tree(points)
        replay = self._events()
        self._manifest()
        about = self.about
        whole = about["first_seq"] == 0
        return {
            "ok": True, "origin": about["origin"], "size": about["size"], "root": about["root"],
            "first_seq": about["first_seq"], "last_seq": about["last_seq"], "checks": self.checks,
            "closing_state": state_hash(replay.dump()),
            "not_proved": ["events after the last checkpoint"]
            + ([] if whole else ["the opening state, which rests on events before this period"])
            + [f"{told['path']}, printed as the tables stood" for told in about["packs"] if told["path"] not in PROVED],
        }  # fmt: skip

    def _say(self, name: str, words: str, count: int) -> None:
        self.checks.append({"name": name, "words": words, "looked_at": count})

    def _keys(self) -> list[tuple[Key, int]]:
        """Return the chain of keys, oldest first, with the size from which each signs."""
        chain: list[tuple[Key, int]] = []
        for number, line in enumerate(self.bundle.lines("keys.jsonl")):
            row = read_json(line, "keys.jsonl")
            key, since = Key(row["verifier_key"]), 0
            demand((number == 0) == (row["rotation"] is None), "only the first key comes without a rotation")
            if number:
                text = open_note(row["rotation"], [chain[-1][0], key], f"the rotation to {key.id.hex()}")
                told = text.split("\n")
                demand(told[0] == "duebill key rotation" and told[2:] == [chain[-1][0].words, key.words, ""],
                       f"the rotation to {key.id.hex()} speaks of other keys")  # fmt: skip
                since = int(told[1])
                demand(since >= chain[-1][1], "the rotations are out of order")
            chain.append((key, since))
        demand(any(key.words == self.trusted.words for key, _ in chain), "no checkpoint is signed by the key you gave")
        return chain

    def _checkpoints(self) -> dict[int, bytes]:
        chain, origin = self._keys(), self.about["origin"]
        points: dict[int, bytes] = {}
        for line in self.bundle.lines("checkpoints.jsonl"):
            row = read_json(line, "checkpoints.jsonl")
            what = f"checkpoint {row['size']}"
            demand(row["size"] > max(points, default=0), f"{what} is out of order")
            key = [key for key, since in chain if since < row["size"]][-1]
            size, root = read_checkpoint(open_note(row["note"], [key], what), origin, what)
            demand(size == row["size"], f"{what} is signed for size {size}")
            points[size] = root
        demand(points and max(points) == self.about["size"], "the last checkpoint is not of the bundle's size")
        demand(points[self.about["size"]].hex() == self.about["root"], "the last checkpoint has another root")
        self._say("signatures", "every checkpoint is signed by the key in force", len(points))
        return points

    def _tree(self, points: dict[int, bytes]) -> None:
        tree, told = Tree(), dict(points)
        if self.previous is not None:
            told_of = self.previous.split("\n")[1:2]
            demand(told_of and told_of[0].isascii() and told_of[0].isdigit(), "what --previous names is no checkpoint")
            kept = int(told_of[0])
            keys = [key for key, since in self._keys() if since < kept]
            told_size, root = read_checkpoint(open_note(self.previous, keys[-1:], "your checkpoint"),
                                              self.about["origin"], "your checkpoint")  # fmt: skip
            demand(told.setdefault(told_size, root) == root, "your checkpoint and the bundle's have different roots")
        larger = "your checkpoint is of a larger log: the bundle was built before it, or the log went backwards"
        demand(max(told) == self.about["size"], larger)
        with self.bundle.open("leaves.bin") as leaves:
            for size, root in sorted(told.items()):
                while tree.size < size:
                    block = leaves.read(min(CHUNK, 32 * (size - tree.size)))
                    demand(block and len(block) % 32 == 0, "leaves.bin breaks off")
                    tree.add(block)
                demand(tree.root() == root, f"the leaves do not give the root signed at {size}")
            demand(not leaves.read(1), "leaves.bin has leaves that were never signed")
        self._say("root", "the leaf hashes give the root of every checkpoint", tree.size)
        before = self.about["previous"]
        if before is not None:
            proof = [bytes.fromhex(step) for step in before["proof"]]
            first = points.get(before["size"])
            if first is None:
                raise Wrong(f"the bundle has no checkpoint of size {before['size']}")
            demand(consistent(before["size"], tree.size, proof, first, tree.root()),
                   f"the log of {tree.size} does not extend that of {before['size']}")  # fmt: skip
            self._say("consistency", f"checkpoint {before['size']} is the beginning of this log", len(proof))

    def _events(self) -> Replay:
        first, last = self.about["first_seq"], self.about["last_seq"]
        counts: dict[str, int] = {}
        demand(0 <= first <= last <= self.about["size"], "the period lies outside the log")
        replay, auctions, sha256 = self._opening(first), Auctions(), hashlib.sha256
        packs = {told["path"]: Pack(self.bundle, told) for told in self.about["packs"]}
        readers: dict[str, list[tuple[Pack, Reader]]] = {}
        for path, verbs in PROVED.items():
            demand(path in packs, f"the bundle lacks {path}")
            for verb, reader in verbs.items():
                readers.setdefault(verb, []).append((packs[path], reader))
        lines, seq = self.bundle.lines("events.jsonl"), first
        with self.bundle.open("leaves.bin") as leaves:
            for passed in range(0, 32 * first, CHUNK):
                leaves.read(min(CHUNK, 32 * first - passed))
            for seq, line in enumerate(lines, first):
                head = b'{"seq":%d,"event":' % seq
                if seq >= last:
                    raise Wrong(f"events.jsonl has event {seq}, beyond the period")
                if not line.startswith(head) or line[-1:] != b"}":
                    raise Wrong(f"event {seq} is missing or out of place")
                body = line[len(head) : -1]
                if sha256(b"\0" + body).digest() != leaves.read(32):
                    raise Wrong(f"event {seq} does not hash to its leaf")
                event = read_json(body, "an event")
                verb = event["verb"]
                counts[verb] = counts.get(verb, 0) + 1
                replay.take(seq, event)
                auctions.take(event)
                for pack, reader in readers.get(verb, ()):
                    for row in pack.expect(seq, reader(event)):
                        if verb == "award":
                            auctions.award(seq, event, row["transcript"].encode())
        seen = sum(counts.values())
        demand(seen == last - first, f"events.jsonl breaks off before event {first + seen}")
        demand(counts == self.about["counts"], "the counts by verb are not those of the events")
        for path, pack in packs.items():
            while (left := pack.next()) is not None:
                demand(path not in PROVED, f"{path}: row {pack.seen} has no event: {json.dumps(left)[:120]}")
        self._say("sequence", f"dense from {first} to {last - 1}", seen)
        self._say("bodies", "each stored byte string hashes to its leaf", seen)
        self._say("ledger", "entries balance by currency and pool; no guarded balance dips below zero", replay.entries)
        self._say(
            "title",
            "units sum to face at every move, nothing is sold twice, each transfer is of units its giver held",
            replay.moves,
        )
        self._say("awards", "each award recomputes from its book, and its book from the bids placed",
                  len(auctions.awards))  # fmt: skip
        self._say("packs", "CSV and JSON lines agree, and what events state is what the packs print",
                  sum(pack.seen for pack in packs.values()))  # fmt: skip
        return replay

    def _opening(self, first: int) -> Replay:
        replay = Replay()
        if first:
            lines = [json.loads(line) for line in self.bundle.lines("opening.jsonl")]
            demand(state_hash(lines) == self.about["opening_state"], "the opening state is not the one announced")
            for line in lines:
                replay.load(line)
        return replay

    def _manifest(self) -> None:
        told = self.bundle.read("MANIFEST").decode().splitlines()
        listed = {name: sha256 for sha256, name in (line.split("  ", 1) for line in told)}
        demand(list(listed) == [name for name in self.bundle.names if name != "MANIFEST"],
               "MANIFEST does not list what the bundle holds")  # fmt: skip
        for name, sha256 in listed.items():
            if name not in self.bundle.hashes:
                with self.bundle.open(name) as file:
                    while file.read(CHUNK):
                        pass
            demand(self.bundle.hashes[name] == sha256, f"{name} is not the file that MANIFEST names")
        self._say("manifest", "every file has the SHA-256 that MANIFEST names", len(listed))


def state_hash(lines: Iterable[list[Any]]) -> str:
    """Return the SHA-256 of a state's lines, sorted, as canonical JSON."""
    texts = sorted(json.dumps(line, separators=(",", ":"), ensure_ascii=False) for line in lines)
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def verify(path: str, key: str, previous: str | None = None) -> Row:
    """Verify a bundle. `key`: a verifier key; `previous`: the text of a checkpoint kept from before.

    Raises: Wrong at the first thing that is wrong.
    """
    return Verification(path, key, previous).run()


def say(words: str) -> None:
    """Write a line."""
    sys.stdout.write(words + "\n")


def main(arguments: list[str] | None = None) -> int:
    """The command line: 0 when all holds, 1 when something is wrong, 2 for wrong use."""
    parser = argparse.ArgumentParser(description="Verify a Duebill audit bundle, offline.")
    parser.add_argument("bundle")
    parser.add_argument("--key", required=True, help="verifier key (name+id+base64), or a file that holds it")
    parser.add_argument("--previous", help="file with a checkpoint you kept")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    told = parser.parse_args(arguments)
    try:
        key = Path(told.key).read_text("utf-8") if "+" not in told.key else told.key
        previous = Path(told.previous).read_text("utf-8") if told.previous else None
    except OSError as error:
        parser.error(str(error))
    try:
        report = verify(told.bundle, key, previous)
    except Wrong as wrong:
        say(json.dumps({"ok": False, "wrong": str(wrong)}) if told.json else f"WRONG: {wrong}")
        return 1
    if told.json:
        say(json.dumps(report, ensure_ascii=False))
        return 0
    for check in report["checks"]:
        say(f"holds  {check['name']:12} {check['looked_at']:>10,}  {check['words']}")
    say(f"Whole and consistent: {report['origin']}, {report['size']:,} events, root {report['root']}")
    for words in report["not_proved"]:
        say(f"not proved: {words}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
