"""Masked text holds no part of a path, however odd its name, and keeps what is no path."""

import shlex

import pytest

from analysis.reference.mask_paths import MASK, mask, mask_command, paths_in

SECRETS = ("anna", "ordner", "bilder", "größe", "résumé")
ODD = (
    *("/home/anna/ordner", "/home/anna ordner/bilder eins", "/home/o'anna/ordner", '/home/anna "x" ordner/bilder'),
    *("/home/anna=ordner/bilder", "/home/anna, ordner/bilder,anna", "/home/anna [ordner]/bilder (anna)", "~anna"),
    *("/home/größe résumé/anna", "~/anna ordner", "~anna/ordner bilder", "file:///home/anna ordner/bilder"),
    *("sqlite:////home/anna ordner/x.db", "C:\\Users\\anna ordner\\bilder", "D:/anna ordner/bilder"),
    *(
        "\\\\server\\anna ordner\\bilder",
        "//server/anna ordner/bilder",
        "/home/anna: ordner; bilder/x",
        "/anna ' ordner/x",
    ),
    *("/home/anna\nordner/bilder", "/home/anna{ordner}/bilder", "/home/anna`ordner`/$bilder"),
)


def hydra(path: str) -> list[str]:
    """A path as an argument's value: bare, and in either of the quotes that Hydra's grammar has."""
    return [path, *(f"{q}{path.replace(q, chr(92) + q)}{q}" for q in "'\"")]


def clean(text: str) -> bool:
    return not any(secret in text for secret in SECRETS)


@pytest.mark.parametrize("path", ODD)
def test_a_command_holds_no_part_of_a_path(path: str) -> None:
    for value in hydra(path):
        for argument in (f"data.dir={value}", f"data={{dir:{value},x:1}}", f"data.dir={value},{value}"):
            command = f"python -m ablations -m seed=0,1 {shlex.quote(argument)} preset=quick"
            masked = mask_command(command)
            assert clean(masked) and MASK in masked, masked
            assert masked.startswith("python -m ablations -m seed=0,1 ") and masked.endswith(" preset=quick")
            assert mask_command(masked) == masked and shlex.split(masked)[5].startswith("data")
    assert clean(mask_command(f"ablations --config-dir {shlex.quote(path)} seed=0")) or path == "~anna"


@pytest.mark.parametrize("path", ODD)
def test_a_text_holds_no_part_of_a_path_that_a_command_names(path: str) -> None:
    known = [found for value in hydra(path) for found in paths_in(f"x {shlex.quote('data.dir=' + value)}")]
    for text in (f"No such file: {path}/a b.jpg", f"{path!r} is no folder", f"cannot read {path}: broken"):
        masked = mask(text, known)
        assert clean(masked) and MASK in masked and mask(masked, known) == masked, masked


@pytest.mark.parametrize("path", [path for path in ODD if not {*path} & {*"\n;:,'`"} or path[1:3] == ":\\"])
def test_a_text_holds_no_part_of_a_path_that_nothing_names(path: str) -> None:
    for text in (f"No such file: {path}/a.jpg (error 2)", f"[Errno 2] No such file: '{path}/a b.jpg'", f"in {path!r}."):
        masked = mask(text)
        assert clean(masked) and MASK in masked, masked


@pytest.mark.parametrize(
    "text,masked",
    [
        ("cannot read /data/a b/c.jpg: broken", "cannot read ...: broken"),
        ("cannot read /data/a b/c.jpg (No space left).", "cannot read ... (No space left)."),
        ("[Errno 2] No such file: '/data/a b.jpg'", "[Errno 2] No such file: '...'"),
        ('File "/opt/x y/z.py", line 3\n  read /x, then stop', 'File "...", line 3\n  read ..., then stop'),
        ("(see /var/log/x.txt)", "(see ...)"),
    ],
)
def test_what_stands_around_a_path_stays(text: str, masked: str) -> None:
    assert mask(text) == masked
    assert mask({"a": [text, 1.5, None, True]}) == {"a": [masked, 1.5, None, True]}


def test_what_is_no_path_stays() -> None:
    for text in (
        *(
            "1/2 of train/val, 3 images/s and n/a",
            "https://example.org/a/b",
            "at 10:30 or 3 / 4",
            "a ~5 % loss",
            "x: y",
        ),
        *("python -m ablations 'seed=range(5)' recipe.lr=0.1 +a/b=c ~key hydra/launcher=slurm", "don't, he said: 'no'"),
        *("AMD EPYC 7B13 / 2.4 GHz", "...", "'...'", 'out of memory,\n  at line 3: "tensor"'),
    ):
        assert mask(text) == text and mask_command(text) == text


def test_a_command_that_no_shell_reads_is_masked_as_text() -> None:
    assert mask_command("python 'data.dir=/home/anna") == "python 'data.dir=..."
