"""The tree of RFC 9162: hashes, incremental growth with stored nodes, proofs and their verification.

Pure. A *node* is named by its level (0 = leaves) and its index within the level; only complete nodes have a name,
and a complete node never changes. Source: RFC 9162 §2.1 (Merkle trees).
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence

NodeReader = Callable[[int, int], bytes]
Node = tuple[int, int, bytes]

EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf_hash(body: bytes) -> bytes:
    """Return SHA-256(0x00 ‖ body). Source: RFC 9162 §2.1.1."""
    return hashlib.sha256(b"\x00" + body).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return SHA-256(0x01 ‖ left ‖ right). Source: RFC 9162 §2.1.1."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """The right edge of a tree: enough to grow it and to name its root, nothing more.

    `peaks` are the roots of the complete subtrees of `size`, widest first: one per bit set in `size`.
    """

    def __init__(self, size: int = 0, peaks: Sequence[bytes] = ()) -> None:
        if size < 0 or size.bit_count() != len(peaks):
            raise ValueError("a frontier has one peak for each bit set in its size")
        self.size = size
        self.peaks = list(peaks)

    @classmethod
    def load(cls, size: int, node: NodeReader) -> "Frontier":
        """Read the frontier of a stored tree."""
        return cls(size, [node(level, index) for level, index in peak_names(size)])

    def append(self, leaf: bytes) -> list[Node]:
        """Add one leaf hash; return the nodes that became complete above it (levels ≥ 1, lowest first)."""
        made: list[Node] = []
        index, level, current = self.size, 0, leaf
        while index & 1:
            current = node_hash(self.peaks.pop(), current)
            index >>= 1
            level += 1
            made.append((level, index, current))
        self.peaks.append(current)
        self.size += 1
        return made

    def extend(self, leaves: Iterable[bytes]) -> list[Node]:
        """Add many leaf hashes; return every node that became complete."""
        made: list[Node] = []
        for leaf in leaves:
            made += self.append(leaf)
        return made

    def root(self) -> bytes:
        """Return the root hash of the tree. Source: RFC 9162 §2.1.1 (the empty tree is the hash of nothing)."""
        if not self.peaks:
            return EMPTY_ROOT
        current = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            current = node_hash(peak, current)
        return current


def peak_names(size: int) -> list[tuple[int, int]]:
    """Return (level, index) of the complete subtrees that make up a tree of `size`, widest first."""
    names, start = [], 0
    for level in range(size.bit_length() - 1, -1, -1):
        if size >> level & 1:
            names.append((level, start >> level))
            start += 1 << level
    return names


def root(size: int, node: NodeReader) -> bytes:
    """Return the root of the first `size` leaves of a stored tree."""
    return Frontier.load(size, node).root()


def inclusion_proof(index: int, size: int, node: NodeReader) -> list[bytes]:
    """Return the audit path of leaf `index` in the tree of `size`. Source: RFC 9162 §2.1.3.1."""
    if not 0 <= index < size:
        raise ValueError("the leaf lies outside the tree")
    path: list[bytes] = []
    low, high = 0, size
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            path.append(_subtree(middle, high, node))
            high = middle
        else:
            path.append(_subtree(low, middle, node))
            low = middle
    return path[::-1]


def consistency_proof(first: int, second: int, node: NodeReader) -> list[bytes]:
    """Return the proof that the tree of `second` leaves extends that of `first`. Source: RFC 9162 §2.1.4.1."""
    if not 0 <= first <= second:
        raise ValueError("a tree extends a smaller one")
    if first in (0, second):
        return []
    path: list[bytes] = []
    low, high, whole = 0, second, True
    while first != high:
        middle = low + _split(high - low)
        if first <= middle:
            path.append(_subtree(middle, high, node))
            high = middle
        else:
            path.append(_subtree(low, middle, node))
            low, whole = middle, False
    if not whole:
        path.append(_subtree(low, high, node))
    return path[::-1]


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root_hash: bytes) -> bool:
    """Return whether the path leads from the leaf to the root. Source: RFC 9162 §2.1.3.2."""
    if not 0 <= index < size:
        return False
    fn, sn, current = index, size - 1, leaf
    for step in proof:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            current = node_hash(step, current)
            while not fn & 1 and fn != 0:
                fn, sn = fn >> 1, sn >> 1
        else:
            current = node_hash(current, step)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and current == root_hash


def verify_consistency(first: int, second: int, proof: Sequence[bytes], first_root: bytes, second_root: bytes) -> bool:
    """Return whether the proof shows that the second tree begins with the first. Source: RFC 9162 §2.1.4.2."""
    if not 0 <= first <= second:
        return False
    if first == second:
        return not proof and first_root == second_root
    if first == 0:
        return not proof and first_root == EMPTY_ROOT
    steps = list(proof)
    if first & (first - 1) == 0:
        steps.insert(0, first_root)
    if not steps:
        return False
    fn, sn = first - 1, second - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    old = new = steps[0]
    for step in steps[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            old, new = node_hash(step, old), node_hash(step, new)
            while not fn & 1 and fn != 0:
                fn, sn = fn >> 1, sn >> 1
        else:
            new = node_hash(new, step)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and old == first_root and new == second_root


def _split(count: int) -> int:
    """Return the largest power of two smaller than `count` ≥ 2."""
    return 1 << ((count - 1).bit_length() - 1)


def _subtree(low: int, high: int, node: NodeReader) -> bytes:
    """Return the hash over leaves low…high, where low is a multiple of the width's next power of two."""
    current: bytes | None = None
    parts: list[bytes] = []
    while low < high:
        level = (high - low).bit_length() - 1
        parts.append(node(level, low >> level))
        low += 1 << level
    for part in reversed(parts):
        current = part if current is None else node_hash(part, current)
    assert current is not None
    return current
