"""Names of protocols: readable, safe as names of folders, never two alike, found again by what a user types."""

import json
from pathlib import Path

import pytest

from ablations.core.errors import UserError
from ablations.store import protocol_folders
from ablations.store.protocol_folders import FILE, ProtocolFolders, choose, make_name, read_folders

A, B, C = "7f3a" + "0" * 12, "7f3a" + "1" * 12, "c0de" + "0" * 12
NAMES = {A: "cifar10-10ep-7f3a", B: "cifar10-10ep-lr-0.01-7f3a", C: "cifar10-10ep-lr-0.013-c0de"}


def test_a_name_says_what_it_is_and_has_as_many_digits_as_it_needs() -> None:
    assert (
        make_name("CIFAR10 10ep 2,000 training images 24×24", A, {}) == "cifar10-10ep-2000-training-images-24x24-7f3a"
    )
    taken = {A: make_name("x", A, {})}
    assert taken[A] == "x-7f3a" and make_name("x", B, taken) == "x-7f3a1111"
    assert make_name("x", "7F3A", {A: "x-7f3a"}) == "x-7f3a-2", "ids of a damaged file may be alike, too"


@pytest.mark.parametrize("text", ["../../etc", "/", "..", "<b>&\n\x00", "ü" * 300, "a" * 300])
def test_no_name_leads_out_of_its_folder(text: str) -> None:
    for name in (make_name(text, "f" * 16, {}), make_name("x", text, {})):
        assert name and not name.startswith(".") and len(name) < 100
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-")


def test_entries_that_are_no_names_are_left_out(tmp_path: Path) -> None:
    content = {"names": {A: "../x", B: "good-7f3a", C: 3, "d": "", "e": "good-7f3a"}, "pinned": A}
    (tmp_path / FILE).write_text(json.dumps(content))
    assert read_folders(tmp_path) == ProtocolFolders({B: "good-7f3a"})
    (tmp_path / FILE).write_text('{"names": [1], "pinned": []}')
    assert read_folders(tmp_path) == read_folders(tmp_path / "absent") == ProtocolFolders({})


def test_the_first_lies_at_the_top_until_another_is_pinned(tmp_path: Path) -> None:
    folders = ProtocolFolders(NAMES)
    assert folders.top({B: 0, A: 0}) == A and folders.top({C: 0, B: 0}) == B and folders.of(C) == NAMES[C]
    protocol_folders.write_folders(tmp_path, ProtocolFolders(NAMES, pinned=C))
    assert read_folders(tmp_path).top(NAMES) == C and list(read_folders(tmp_path).names) == [A, B, C]
    assert ProtocolFolders({A: "x"}).of(A) == "", "a single one needs no folder"


@pytest.mark.parametrize(
    ("word", "found"),
    [(A, A), ("7f3a0", A), ("cifar10-10ep-7", A), (NAMES[B], B), ("lr 0.01", B), ("lr-0.013", C), ("c0de", C)],
)
def test_a_word_finds_its_protocol(word: str, found: str) -> None:
    assert choose(word, NAMES, dict.fromkeys(NAMES, "")) == found


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        (
            "",
            "There are 3 protocols: say which with --protocol (make: PROTOCOL=). cifar10-10ep-7f3a (t); ",
        ),
        ("7f3a", "PROTOCOL=7f3a fits several of the protocols there are: cifar10-10ep-7f3a (t); "),
        ("lr 0.02", "PROTOCOL=lr 0.02 fits none of the protocols there are: "),
        ("-", "PROTOCOL=- fits none of the protocols there are: "),
    ],
)
def test_other_words_are_told_what_there_is(word: str, sentence: str) -> None:
    with pytest.raises(UserError) as error:
        choose(word, NAMES, dict.fromkeys(NAMES, "t"))
    assert str(error.value).startswith(sentence)
