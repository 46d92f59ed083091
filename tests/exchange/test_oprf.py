"""The oblivious function against the RFC's vectors, against another implementation, and against who cheats."""

import os
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketplace.exchange import oprf, ristretto
from marketplace.kernel.errors import InvalidInput
from tests.exchange import vectors

RAW = bytes.fromhex
SEED, INFO = RAW(vectors.SEED), RAW(vectors.KEY_INFO)


def test_keys_are_derived_as_the_rfc_says() -> None:
    assert oprf.derived_key(SEED, INFO, oprf.OPRF).secret.hex() == vectors.OPRF_SECRET
    key = oprf.derived_key(SEED, INFO)
    assert (key.secret.hex(), key.public.hex()) == (vectors.VOPRF_SECRET, vectors.VOPRF_PUBLIC)


@pytest.mark.parametrize("vector", vectors.OPRF, ids=["A.1.1/1", "A.1.1/2"])
def test_the_rfcs_vectors_of_the_plain_mode(vector: dict[str, str]) -> None:
    key = oprf.derived_key(SEED, INFO, oprf.OPRF)
    blinded = oprf.blind(RAW(vector["input"]), oprf.OPRF, RAW(vectors.BLIND))
    assert blinded.element.hex() == vector["blinded"]
    (evaluated,) = oprf.evaluate(key, [blinded.element])
    assert evaluated.hex() == vector["evaluated"]
    assert oprf.finalize(blinded, evaluated).hex() == vector["output"]
    assert oprf.output_of(key, RAW(vector["input"]), oprf.OPRF).hex() == vector["output"]


@pytest.mark.parametrize("vector", vectors.VOPRF, ids=["A.1.2/1", "A.1.2/2", "A.1.2/3"])
def test_the_rfcs_vectors_of_the_verifiable_mode(vector: dict[str, Any]) -> None:
    key = oprf.derived_key(SEED, INFO)
    batch = [
        oprf.blind(RAW(text), oprf.VOPRF, RAW(blind))
        for text, blind in zip(vector["inputs"], vector["blinds"], strict=True)
    ]
    asked = [one.element for one in batch]
    assert tuple(one.hex() for one in asked) == vector["blinded"]
    given_back, proof = oprf.evaluate_proved(key, asked, RAW(vector["proof_scalar"]))
    assert tuple(one.hex() for one in given_back) == vector["evaluated"]
    assert proof.hex() == vector["proof"]
    assert oprf.proved(RAW(vectors.VOPRF_PUBLIC), asked, given_back, proof)
    outputs = tuple(oprf.finalize(one, back).hex() for one, back in zip(batch, given_back, strict=True))
    assert outputs == vector["outputs"]


@settings(max_examples=25)
@given(texts=st.lists(st.binary(max_size=200), min_size=1, max_size=4))
def test_what_is_unblinded_is_what_the_key_alone_computes(texts: list[bytes]) -> None:
    key = oprf.derived_key(os.urandom(32), b"")
    batch = [oprf.blind(text) for text in texts]
    results, proof = oprf.evaluate_proved(key, [one.element for one in batch])
    assert oprf.proved(key.public, [one.element for one in batch], results, proof)
    assert [oprf.finalize(*pair) for pair in zip(batch, results, strict=True)] == [
        oprf.output_of(key, text) for text in texts
    ]


def test_another_implementation_computes_the_same() -> None:
    """The Rust library `voprf` behind its Python binding: it blinds and we evaluate, we blind and it evaluates."""
    other = pytest.importorskip("voprf").ristretto
    seed = os.urandom(32)
    key, server = oprf.derived_key(seed, b"ours"), other.Evaluator.from_seed(seed, b"ours")
    assert server.public_key.serialize() == key.public
    client, asked = other.Client.blind(b"a claim")
    results, proof = oprf.evaluate_proved(key, [asked.serialize()])
    answer = other.VerifiableOutput.deserialize(proof + results[0])
    output = client.finalize(answer, other.PublicKey.deserialize(key.public))
    mine = oprf.blind(b"a claim")
    back = server.evaluate(other.BlindedInput.deserialize(mine.element)).serialize()
    assert oprf.proved(key.public, [mine.element], [back[64:]], back[:64])
    assert oprf.finalize(mine, back[64:]) == output == oprf.output_of(key, b"a claim")


def test_another_key_than_the_one_committed_to_is_noticed() -> None:
    honest, other = oprf.derived_key(os.urandom(32), b""), oprf.derived_key(os.urandom(32), b"")
    asked = [oprf.blind(b"one").element, oprf.blind(b"two").element]
    results, proof = oprf.evaluate_proved(other, asked)
    assert not oprf.proved(honest.public, asked, results, proof)
    right, sound = oprf.evaluate_proved(honest, asked)
    assert not oprf.proved(honest.public, asked, [right[0], results[1]], sound)
    assert not oprf.proved(honest.public, asked, right[::-1], sound)
    assert oprf.proved(honest.public, asked, right, sound)


@pytest.mark.parametrize("raw", [bytes(32), b"\xff" * 32, b"", b"x" * 31, b"\1" + bytes(31)])
def test_no_element_is_refused_in_words(raw: bytes) -> None:
    key = oprf.derived_key(SEED, INFO)
    with pytest.raises(InvalidInput, match="bad_element"):
        oprf.evaluate_proved(key, [raw])
    with pytest.raises(InvalidInput, match="bad_element"):
        oprf.finalize(oprf.blind(b"x"), raw)


def test_a_scalar_at_or_above_the_order_is_refused() -> None:
    key = oprf.derived_key(SEED, INFO)
    asked = [oprf.blind(b"x").element]
    results, proof = oprf.evaluate_proved(key, asked)
    large = ristretto.ORDER.to_bytes(32, "little")
    for crooked in (large + proof[32:], proof[:32] + large):
        with pytest.raises(InvalidInput, match="bad_scalar"):
            oprf.proved(key.public, asked, results, crooked)
    with pytest.raises(InvalidInput, match="bad_batch"):
        oprf.proved(key.public, asked, results, proof[:63])
    with pytest.raises(InvalidInput, match="bad_batch"):
        oprf.evaluate_proved(key, [])


def test_two_blindings_of_one_input_have_nothing_in_common() -> None:
    assert oprf.blind(b"same").element != oprf.blind(b"same").element
