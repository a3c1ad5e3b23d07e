"""Consistency tokens: what a caller has seen survives the trip, and nothing that this system did not sign does."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core.database.token import LSN_UNKNOWN, Token, TokenEntry, TokenSigner
from core.errors import Malformed
from core.limits import TOKEN_CHARS_MAX, TOKEN_ENTRIES_MAX
from core.shard_map.values import NAME_CHARS_MAX

SIGNER = TokenSigner([b"key"])
U64 = (1 << 64) - 1
SEEN = TokenEntry("sa-1", 7, 2, 0x1000)

shards = st.text("abcxyz019-", min_size=1, max_size=NAME_CHARS_MAX)
entries = st.builds(TokenEntry, shards, st.integers(0, U64), st.integers(1, (1 << 32) - 1), st.integers(0, LSN_UNKNOWN))
tokens = st.lists(entries, max_size=TOKEN_ENTRIES_MAX, unique_by=lambda e: e.shard).map(lambda e: Token(tuple(e)))


@given(tokens)
def test_a_token_survives_the_trip(token: Token) -> None:
    assert SIGNER.parse(SIGNER.text(token)) == token


def test_the_largest_token_that_can_be_made_is_accepted_back() -> None:
    token = Token(
        tuple(
            TokenEntry(f"{n:x}".rjust(NAME_CHARS_MAX, "x"), U64, (1 << 32) - 1, LSN_UNKNOWN)
            for n in range(TOKEN_ENTRIES_MAX)
        )
    )
    assert len(SIGNER.text(token)) <= TOKEN_CHARS_MAX
    assert SIGNER.parse(SIGNER.text(token)) == token


@given(tokens, st.data())
def test_a_token_with_any_character_changed_is_refused(token: Token, data: st.DataObject) -> None:
    text = SIGNER.text(token)
    place = data.draw(st.integers(0, len(text) - 1))
    character = data.draw(st.characters(min_codepoint=33, max_codepoint=126).filter(lambda c: c != text[place]))
    with pytest.raises(Malformed):
        SIGNER.parse(text[:place] + character + text[place + 1 :])


@given(tokens, st.integers(0, TOKEN_CHARS_MAX), st.sampled_from(["!", " ", "A", "=", ".", "é", "\n"]))
def test_a_token_with_a_character_added_or_lost_is_refused(token: Token, place: int, more: str) -> None:
    text = SIGNER.text(token)
    for changed in (text[:place] + more + text[place:], text[:place] + text[place + 1 :]):
        if changed != text:
            with pytest.raises(Malformed):
                SIGNER.parse(changed)


def test_every_character_of_a_token_counts_even_the_spare_bits_of_its_encoding() -> None:
    text = SIGNER.text(Token((SEEN,)))
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for place in range(len(text)):
        for character in alphabet:
            if character != text[place]:
                with pytest.raises(Malformed):
                    SIGNER.parse(text[:place] + character + text[place + 1 :])


@given(st.text(max_size=TOKEN_CHARS_MAX + 10))
@example("")
@example(".")
@example("a.b.c")
@example("." * TOKEN_CHARS_MAX)
def test_text_that_is_no_token_is_refused_in_words(text: str) -> None:
    with pytest.raises(Malformed, match="Consistency-Token"):
        SIGNER.parse(text)


def test_a_text_over_the_bound_is_not_even_looked_at() -> None:
    with pytest.raises(Malformed, match="too long"):
        SIGNER.parse("A" * (TOKEN_CHARS_MAX + 1))


def test_keys_rotate_the_first_signs_and_all_verify() -> None:
    old, both, new = TokenSigner([b"old"]), TokenSigner([b"new", b"old"]), TokenSigner([b"new"])
    token = Token((SEEN,))
    assert both.parse(old.text(token)) == token
    assert new.parse(both.text(token)) == token
    with pytest.raises(Malformed, match="not signed by this system"):
        old.parse(both.text(token))


@given(tokens, entries)
def test_seeing_keeps_what_was_seen_of_other_shards(token: Token, entry: TokenEntry) -> None:
    after = token.seeing(entry)
    assert len(after.entries) <= TOKEN_ENTRIES_MAX
    assert after.entries[-1].shard == entry.shard
    others = [e for e in token.entries if e.shard != entry.shard]
    assert list(after.entries[:-1]) == others[-(TOKEN_ENTRIES_MAX - 1) :]


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 50)), min_size=1))
def test_what_was_seen_of_a_cluster_never_goes_back(positions: list[tuple[int, int]]) -> None:
    token, newest = Token(), (0, 0)
    for timeline, lsn in positions:
        token = token.seeing(TokenEntry("sa-1", 7, timeline, lsn))
        newest = max(newest, (timeline, lsn))
        (entry,) = token.entries
        assert (entry.timeline, entry.lsn) == newest


def test_another_cluster_under_a_shards_name_replaces_what_was_seen_of_the_former() -> None:
    restored = TokenEntry("sa-1", 8, 1, 5)
    assert Token((SEEN,)).seeing(restored).entries == (restored,)


def test_a_position_not_known_outweighs_a_known_one_until_the_primary_has_been_read() -> None:
    unknown = TokenEntry("sa-1", 7, 2, LSN_UNKNOWN)
    token = Token((SEEN,)).seeing(unknown)
    assert token.entry("sa-1") == unknown
    assert token.seeing(SEEN).entry("sa-1") == SEEN


def test_the_shard_not_heard_of_for_longest_is_forgotten_first() -> None:
    token = Token()
    for n in range(TOKEN_ENTRIES_MAX + 1):
        token = token.seeing(TokenEntry(f"s-{n}", 1, 1, 1))
    assert token.entry("s-0") is None
    assert token.entry("s-1") is not None
