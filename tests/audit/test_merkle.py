"""The tree agrees with a naive reading of RFC 9162, and its proofs prove only what is so."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from marketplace.audit import merkle

# Leaf inputs and roots of the Certificate Transparency reference implementation's published test vectors.
INPUTS = [bytes.fromhex(h) for h in (
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")]  # fmt: skip
ROOT_OF_EIGHT = "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"


def naive_root(leaves: list[bytes]) -> bytes:
    """Spell out RFC 9162 §2.1.1."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return merkle.node_hash(naive_root(leaves[:k]), naive_root(leaves[k:]))


def naive_path(m: int, leaves: list[bytes]) -> list[bytes]:
    """Spell out RFC 9162 §2.1.3.1."""
    if len(leaves) == 1:
        return []
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    if m < k:
        return [*naive_path(m, leaves[:k]), naive_root(leaves[k:])]
    return [*naive_path(m - k, leaves[k:]), naive_root(leaves[:k])]


def naive_consistency(m: int, leaves: list[bytes], whole: bool = True) -> list[bytes]:
    """Spell out RFC 9162 §2.1.4.1."""
    if m == len(leaves):
        return [] if whole else [naive_root(leaves)]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    if m <= k:
        return [*naive_consistency(m, leaves[:k], whole), naive_root(leaves[k:])]
    return [*naive_consistency(m - k, leaves[k:], False), naive_root(leaves[:k])]


def stored(size: int) -> tuple[list[bytes], dict[tuple[int, int], bytes], merkle.Frontier]:
    leaves = [merkle.leaf_hash(str(i).encode()) for i in range(size)]
    frontier = merkle.Frontier()
    nodes = {(0, i): leaf for i, leaf in enumerate(leaves)}
    nodes |= {(level, index): value for level, index, value in frontier.extend(leaves)}
    return leaves, nodes, frontier


def test_the_published_root_of_eight_leaves_comes_out() -> None:
    frontier = merkle.Frontier()
    frontier.extend(merkle.leaf_hash(body) for body in INPUTS)
    assert frontier.root().hex() == ROOT_OF_EIGHT


def test_the_empty_tree_is_the_hash_of_nothing() -> None:
    assert merkle.Frontier().root() == hashlib.sha256(b"").digest()


@given(st.integers(0, 130))
def test_growth_agrees_with_the_recursive_definition(size: int) -> None:
    leaves, nodes, frontier = stored(size)
    assert frontier.root() == naive_root(leaves)
    assert merkle.root(size, lambda level, index: nodes[level, index]) == naive_root(leaves)
    assert merkle.Frontier.load(size, lambda level, index: nodes[level, index]).peaks == frontier.peaks


@given(st.data())
def test_inclusion_proofs_are_the_rfcs_and_verify(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 130))
    index = data.draw(st.integers(0, size - 1))
    leaves, nodes, frontier = stored(size)
    proof = merkle.inclusion_proof(index, size, lambda level, i: nodes[level, i])
    assert proof == naive_path(index, leaves)
    assert merkle.verify_inclusion(leaves[index], index, size, proof, frontier.root())
    other = data.draw(st.integers(0, size + 3).filter(lambda i: i != index))
    assert not merkle.verify_inclusion(leaves[index], other, size, proof, frontier.root())
    assert not merkle.verify_inclusion(b"\0" * 32, index, size, proof, frontier.root())
    assert not merkle.verify_inclusion(leaves[index], index, size, [*proof, b"\0" * 32], frontier.root())


@given(st.data())
def test_consistency_proofs_are_the_rfcs_and_verify(data: st.DataObject) -> None:
    second = data.draw(st.integers(1, 130))
    first = data.draw(st.integers(1, second))
    leaves, nodes, frontier = stored(second)
    proof = merkle.consistency_proof(first, second, lambda level, i: nodes[level, i])
    old, new = naive_root(leaves[:first]), frontier.root()
    assert proof == naive_consistency(first, leaves)
    assert merkle.verify_consistency(first, second, proof, old, new)
    assert not merkle.verify_consistency(first, second, proof, b"\1" * 32, new)
    assert not merkle.verify_consistency(first, second, proof, old, b"\1" * 32)
    if proof:
        spoiled = data.draw(st.integers(0, len(proof) - 1))
        wrong = [*proof[:spoiled], b"\2" * 32, *proof[spoiled + 1 :]]
        assert not merkle.verify_consistency(first, second, wrong, old, new)
        assert not merkle.verify_consistency(first, second, proof[:-1], old, new)


def test_a_root_proves_no_other_history() -> None:
    leaves, nodes, frontier = stored(40)
    altered = [*leaves[:11], b"\7" * 32, *leaves[12:20]]
    proof = merkle.consistency_proof(20, 40, lambda level, i: nodes[level, i])
    assert not merkle.verify_consistency(20, 40, proof, naive_root(altered), frontier.root())


def test_everything_extends_the_empty_tree_and_nothing_else_is_empty() -> None:
    _, _, frontier = stored(5)
    assert merkle.verify_consistency(0, 5, [], merkle.EMPTY_ROOT, frontier.root())
    assert not merkle.verify_consistency(0, 5, [], b"\1" * 32, frontier.root())
