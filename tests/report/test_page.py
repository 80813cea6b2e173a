"""The report: one file that stands alone, the same bytes for the same results, nothing of a result read as markup."""

import html
import json
import re
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest

from analysis import publish
from analysis.report import protocol, scope
from analysis.report.page import page
from analysis.runs import frame
from analysis.studies import assemble
from tests import results_fixture as fixture
from tests.page import Page
from tests.report_fixture import page_of, render
from tests.verdict_fixture import verdict

HOSTILE = "\"><script>alert(1)</script><img src=x onerror=alert(2)> {{ 7 * 7 }} </style> & '`"


pytestmark = pytest.mark.usefixtures("made_up_costs")


def test_it_is_published_with_the_tables_and_is_the_same_when_made_again(results: Path) -> None:
    before = (results / "report.html").read_bytes()
    assert len(before) < 3_000_000
    files = publish.publish(results, force=True)
    assert results / "report.html" in files and (results / "report.html").read_bytes() == before


def test_the_folder_that_it_is_made_from_leaves_no_trace(results: Path, whole: str, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    results.rename(moved)
    try:
        assert render(moved) == whole
    finally:
        moved.rename(results)


def test_it_loads_nothing_and_has_no_script(whole: str) -> None:
    found = Page(whole)
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    assert ("meta", "content", policy) in found.attributes and "script" not in found.tags
    assert not [name for _, name, _ in found.attributes if name.startswith("on")]
    links = [(t, v) for t, n, v in found.attributes if n in ("src", "href", "xlink:href") and not v.startswith("#")]
    assert [value for tag, value in links if tag != "a"] == ["data:,"] and "@import" not in whole
    figures = ["change_by_groups", "error_by_groups", "shuffle_gain", "error_by_macs", "curves"]
    assert [value for tag, value in links if tag == "a"] == [
        "https://arxiv.org/abs/1707.01083",
        *(f"figures/{name}.svg" for name in figures),
    ]
    assert not re.findall(r"url\((?!#)", whole)


def test_ids_are_unique_and_links_lead_somewhere(whole: str) -> None:
    found = Page(whole)
    ids = Counter(found.values("id"))
    assert [name for name, count in ids.items() if count > 1] == []
    targets = {value[1:] for value in found.values("href", "xlink:href") if value.startswith("#")}
    targets |= set(re.findall(r"url\(#([^)]+)\)", whole))
    targets |= {name for value in found.values("aria-labelledby", "aria-describedby") for name in value.split()}
    assert len(targets) > 100 and targets <= ids.keys()


def test_the_order_and_the_levels_of_headings(whole: str) -> None:
    headings = re.findall(r"<h([1-4])[^>]*>(.*?)(?: <span.*?)?</h", whole)
    levels = [int(level) for level, _ in headings]
    assert levels[:3] == [1, 2, 3] and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    names = [name for level, name in headings if level == "3"]
    assert names == [
        "Do the paper’s claims hold here?",
        "Tables 2 and 3, beside the paper’s",
        "Figures",
        "Complexity",
        "Where the numbers come from",
        "Failed and missing runs",
        "Environment of the training",
    ]
    assert headings[-1] == ("2", "How it was computed")


def test_a_verdict_says_its_word_effect_interval_and_the_papers(results: Path, whole: str) -> None:
    words = Page(whole).words
    assert (
        "✓ supported Grouped convolutions lower the error at 0.5x: g=8 against g=1 +2.3 [+1.1, +3.5] paper +2.8"
        in words
    )
    assert (
        "✗ contradicted At 0.5x the error stops falling before g=8 +1.6 [+0.8, +2.4] claimed ≤ 0.5, paper −0.7" in words
    )
    assert "≈ no effect Grouped convolutions lower the error at 1x" in words
    assert "About 7 seeds a cell would decide it if the effect is what it seems." in words
    assert "No run is done of ShuffleNet 1x, g=4. not known paper +2.8" in words
    assert "One seed: run-to-run variation not covered." in words and "ShuffleNet 1x, g=4 (no run)" in words
    assert "p of no effect <0.001; adjusted over the study’s claims 0.005" in words
    described = Page(whole).values("aria-label")
    assert (
        "effect +2.3 percentage points of top-1 error, 95 % interval +1.1 to +3.5; the paper’s effect +2.8; margin 0.5"
    ) in described
    assert "no effect to show: runs are missing" in described
    assert "effect +0.7 percentage points of top-1 error, no interval; margin 0.5" in described


def test_no_interval_is_drawn_where_there_is_none(whole: str) -> None:
    plots = re.findall(r'<svg class="forest" viewBox="0 0 300 24".*?</svg>', whole, re.S)
    without = [plot for plot in plots if "no interval" in plot]
    assert without and all('class="dot"' in plot and 'class="bar"' not in plot for plot in without)
    missing = [plot for plot in plots if "no effect to show" in plot]
    assert missing and all('class="dot"' not in plot for plot in missing)


def test_every_number_leads_to_its_runs(results: Path, whole: str) -> None:
    one = fixture.run(3, 0.5)
    fold = re.search(rf'<div class="inside" id="cell-{one.cell_id}".*?</details>', whole, re.S)
    assert fold and f'<a href="#cell-{one.cell_id}">' in whole
    words = Page(f"<div>{fold[0].removesuffix('</details>')}</div>").words
    for text in (
        one.run_id,
        "commit cccccccccc, clean",
        "cpu: Test CPU",
        "python 3.11.0, torch 2.15.0",
        "Tables 2 and 3",
    ):
        assert text in words
    errors = [run.error for _, run in frame.runs(results).query("cell_id == @one.cell_id").iterrows()]
    assert all(f"{100 * error:.2f}" in words for error in errors)
    linked = re.findall(r'<td ?><a href="#(?:cell|gain)-[^"]+">', whole)
    assert len(linked) == 15 + 12 + 6


def test_what_failed_or_is_missing_is_said(whole: str) -> None:
    words = Page(whole).words
    assert (
        "Partial results: 40 of 42 runs are done (1 failed, 1 not run). What is missing is said below; verdicts"
        in words
    )
    assert "ShuffleNet 1x, g=4, seed 1 failed out of memory" in words
    assert "Planned, not run yet: 1 run. 0.5x, g=4 (seed 1)." in words
    assert "1 cell has runs whose origin needs a look" in words and "Warning: The runs differ in code" in words


def test_the_environment_is_the_runs_own(whole: str) -> None:
    words = Page(whole).words
    part = words[words.index("Environment of the training") :]
    assert "code commit cccccccccc, clean (41 runs); commit dddddddddd, clean (1 run)" in part
    assert "versions python 3.11.0, torch 2.15.0" in part and "host test" in part
    assert "python -m ablations -m ablation=groups preset=quick" in part


def test_the_recipe_is_told_in_plain_words(whole: str) -> None:
    words = Page(whole).words
    for text in (
        "Epochs 8 Batch 64 Learning rate 0.2 Weight decay 0.0001 Seeds a cell",
        "The whole recipe Data glyphs, 10 classes, grey; digest dddddddddd",
        "Training images 2,000, kept at 24×24, trained at 24×24 Error on 1,000 test images, after the last epoch",
        "Held out 500 images for validation Epochs 8 Batch 64 images Optimizer SGD, Nesterov momentum 0.9",
        "Learning rate 0.2 at its highest, falling linearly to 0 Warm-up linear from 0 in 0.5 epochs",
        "Weight decay 0.0001 on weights of more than one dimension (neither BatchNorm’s nor biases)",
        "Stem 3×3 convolution of stride 2, no pool Precision float32 Kernels not recorded Seeds seeds 0, 1",
    ):
        assert text in words, text
    assert "<mark>" not in whole, "there is no other protocol"


def test_a_recipe_that_a_study_varies_has_all_its_values(tmp_path: Path) -> None:
    others = [replace(fixture.PROTOCOL, recipe=replace(fixture.RECIPE, lr=lr, crop="pad", pad=4)) for lr in (0.1, 0.2)]
    for one in others:
        folder = fixture.write_done(tmp_path, fixture.run(3, 0.25, under=one), 0.3).parent
        origin = json.loads((folder / "provenance.json").read_text())
        (folder / "provenance.json").write_text(json.dumps({**origin, "kernels": f"native {one.recipe.lr}"}))
    lines = dict(scope.whole(frame.runs(tmp_path)))
    assert lines["Learning rate"] == " and ".join(f"{lr} at its highest, falling linearly to 0" for lr in (0.1, 0.2))
    assert lines["Kernels"] == "native 0.1 (1 run); native 0.2 (1 run)"
    assert lines["Random crop"] == "shifted by up to 4 pixels, filled with zeros"


def test_runs_are_linked_where_their_logs_lie_beside_the_page(tmp_path: Path) -> None:
    done, other, failed = (fixture.run(3, 0.25, seed=seed) for seed in range(3))
    for one in (done, other):
        fixture.write_done(tmp_path, one, 0.3)
    fixture.write_failure(tmp_path, failed)
    for one in (done, failed):
        (tmp_path / "runs" / one.run_id / "log.txt").touch()
    runs = frame.runs(tmp_path)
    found = Page(page(tmp_path, runs, assemble.sections("groups", runs, tmp_path), []))
    linked = [value for value in found.values("href") if value.startswith("runs/")]
    assert linked == [f"runs/{done.run_id}/", f"runs/{done.run_id}/log.txt", f"runs/{failed.run_id}/log.txt"]
    assert all((tmp_path / path).exists() for path in linked) and other.run_id in found.words


def test_tables_can_be_copied_as_latex_and_csv(results: Path, whole: str) -> None:
    copies = dict(
        zip(("2 tex", "2 csv", "3 tex", "3 csv"), re.findall(r"<pre.*?>(.*?)</pre>", whole, re.S), strict=True)
    )
    for name, text in copies.items():
        number, kind = name.split()
        assert html.unescape(text) == (results / "tables" / f"table{number}.{kind}").read_text()


def test_figures_are_described(whole: str) -> None:
    images = re.findall(r"<svg [^>]*role=\"img\"[^>]*aria-describedby[^>]*>.*?</svg>", whole, re.S)
    assert len(images) == 10, "five figures, each for wide and for narrow screens"
    described = " ".join(re.findall(r"<desc[^>]*>(.*?)</desc>", whole))
    for text in (
        "Line chart",
        "paper, on ImageNet: 1x: g=1 33.6",
        "takes off the error",
        "40 runs",
        "cheaper and better",
        "change of error in points against the first number of groups. 1x: g=1 0.0",
    ):
        assert text in described, text
    assert "<metadata" not in whole and "<?xml" not in whole


def test_figures_have_the_colours_of_the_page_in_both_schemes(whole: str) -> None:
    images = re.findall(r"<svg [^>]*role=\"img\"[^>]*aria-describedby[^>]*>.*?</svg>", whole, re.S)
    assert not [image for image in images if re.search(r"#[0-9a-fA-F]{6}\b", image)]
    used = set(re.findall(r"var\((--[a-z]+)\)", "".join(images)))
    light, dark = whole.split("<style>")[1].split("</style>")[0], ""
    for part in re.findall(r"prefers-color-scheme: dark\) \{\s*:root \{.*?\}", light, re.S):
        light, dark = light.replace(part, ""), dark + part
    assert {"--ink", "--paper", "--blue", "--vermillion"} <= used
    assert [name for name in used for css in (light, dark) if f"{name}: " not in css] == []


def test_the_words_of_figures_are_text(whole: str) -> None:
    for image in re.findall(r"<svg [^>]*aria-describedby[^>]*>.*?</svg>", whole, re.S):
        words = re.findall(r"<text[^>]*>([^<]*)</text>", image)
        assert any("glyphs 24×24, 2,000" in text for text in words) and len(words) > 15


def test_without_verdicts_there_is_a_sentence(results: Path) -> None:
    words = Page(render(results, verdicts=False)).words
    assert "No claim has been judged under this protocol" in words and "supported Grouped" not in words


def test_text_from_data_is_text(tmp_path: Path) -> None:
    under = fixture.protocol(name=HOSTILE)
    runs = fixture.grid("groups", [0, 1], under, [0.5])
    fixture.write_plan(tmp_path, "groups", runs, preset=HOSTILE)
    for one in runs[:-1]:
        path = fixture.write_done(tmp_path, one, 0.3).parent / "provenance.json"
        facts = dict.fromkeys(("device", "command", "host", "started", "threads", "device_type", "commit"), HOSTILE)
        content = {**json.loads(path.read_text()), **facts, "versions": {HOSTILE: f"{HOSTILE}{one.seed}"}}
        path.write_text(json.dumps(content))
    fixture.write_failure(tmp_path, runs[-1], "failed", HOSTILE)
    fixture.write_done(tmp_path, replace(runs[0], variant=replace(runs[0].variant, structure=HOSTILE)), 0.3)
    (tmp_path / "runs" / HOSTILE.replace("/", "_")).mkdir()
    (tmp_path / "fingerprints.json").write_text(json.dumps({"cells": {runs[0].cell_id: HOSTILE}}))
    everything = frame.runs(tmp_path)
    (section,) = assemble.sections("groups", everything, tmp_path)
    texts = dict.fromkeys(("claim", "source", "says", "method", "reason", "scope", "unit", "verdict"), HOSTILE)
    claim = replace(verdict(section), **texts, cells=((runs[0].cell_id, HOSTILE), ("", HOSTILE)))
    shown = replace(section, verdicts=(claim,), of=replace(section.of, title=HOSTILE))
    found = Page(page(tmp_path, everything, [shown], []))
    assert not {"script", "img"} & set(found.tags)
    assert not [name for _, name, _ in found.attributes if name.startswith("on")]
    assert found.words.count("<script>alert(1)</script>") > 20 and "{{ 7 * 7 }}" in found.words
    assert "49" not in found.words.replace("149", "")


def test_an_unreadable_figure_is_named(results: Path, tmp_path: Path) -> None:
    path = results / "figures" / "curves.svg"
    content = path.read_bytes()
    path.write_bytes(b"<svg")
    try:
        assert "figures/curves.svg cannot be read; make tables draws it anew." in Page(render(results)).words
    finally:
        path.write_bytes(content)


def test_a_single_failed_run_still_gives_a_page(tmp_path: Path) -> None:
    fixture.write_plan(tmp_path, "groups", fixture.grid("groups", [0], widths=[0.25]))
    fixture.write_failure(tmp_path, fixture.run(3, 0.25), "killed", "the worker was killed")
    words = Page(page_of(tmp_path)).words
    assert "Partial results: 0 of 5 runs are done (1 killed, 4 not run)" in words
    assert "the worker was killed" in words and "10 of the 15 cells of Table 2 are not planned" in words


def test_an_unfinished_study_says_what_is_planned_done_and_missing(tmp_path: Path) -> None:
    """Seven cells at one width, three seeds; seed 0 is done of all but g=4 and g=8 without shuffle."""
    planned = {study: fixture.grid(study, range(3), widths=[0.25]) for study in ("groups", "shuffle")}
    for study, runs in planned.items():
        fixture.write_plan(tmp_path, study, runs)
        for one in runs:
            axes = one.variant.axes
            if one.seed == 0 and (axes["groups"], axes["shuffle"]) not in ((4, True), (8, False)):
                fixture.write_done(tmp_path, one, 0.3 if axes["shuffle"] else 0.4)
    publish.publish(tmp_path)
    found = Page((tmp_path / "report.html").read_text())
    assert (
        "Partial results: 5 of 21 runs are done (16 not run). What is missing is said below; verdicts may"
        in found.words
    )
    assert "Seeds a cell 0 to 1 of 3 planned Runs done 5 of 21" in found.words
    assert "2 inconclusive 20 not tested" in found.words
    assert (
        "not tested At 0.25x with 8 groups, shuffle lowers the error. No run is done of 0.25x g=8 no sh" in found.words
    )
    assert (
        "inconclusive At 0.25x with 3 groups, shuffle lowers the error. One seed: run-to-run variation" in found.words
    )
    waiting = found.words[found.words.index("Planned, not run yet: 16 runs.") :]
    for cell in ("g=3 (seeds 1, 2)", "g=3, no shuffle (seeds 1, 2)", "g=4 (seeds 0, 1, 2)", "g=8, no shuffle (seeds 0"):
        assert f"0.25x, {cell}" in waiting, cell
    drawn = html.unescape((tmp_path / "figures" / "change_by_groups.svg").read_text()).replace("\n", " ")
    assert "0 to 1 of 3 planned seeds." in drawn and "Not planned: 1x, 0.5x." in re.sub(r"<[^>]*>|\xa0", " ", drawn)


def test_images_that_were_left_out_are_said_on_the_page_and_below_the_tables(tmp_path: Path) -> None:
    def notes() -> tuple[str, tuple[str, ...]]:
        runs = frame.runs(tmp_path)
        sections = assemble.sections("groups", runs, tmp_path)
        return Page(page(tmp_path, runs, sections, [])).words, sections[0].notes

    paths = [fixture.write_done(tmp_path, fixture.run(3, 0.5, seed=seed), 0.3) for seed in (0, 1)]
    words, below = notes()
    assert "left out, since" not in words and not [note for note in below if "left out, since" in note]
    counts = {"train": [3, 1234], "test": [1, 1000], "odd": "x", "other": [1.5, None]}
    paths[1].write_text(json.dumps({**json.loads(paths[1].read_text()), "images_left_out": counts}))
    told = (
        "3 of 1,234 training images were left out, since they do not decode.",
        "1 of 1,000 test images was left out, since it does not decode.",
    )
    words, below = notes()
    assert [note for note in below if "left out" in note] == list(told)
    assert " ".join(told) in words and words.count("left out, since") == 4, "also to be copied"
    paths[0].write_text(json.dumps({**json.loads(paths[0].read_text()), "images_left_out": counts}))
    assert notes() == (words, below)


def test_runs_with_another_outcome_beside_the_one_that_counts_are_counted(tmp_path: Path) -> None:
    """As `make merge KEEP=` leaves them; those of other protocols belong to other sections."""
    mine, others = ["a" * 16, "b" * 16], ["a" * 16 + ".other-1", "a" * 16 + ".other-2", "c" * 16 + ".other-1"]
    for name in (*mine, *others, "b" * 16 + ".damaged-1"):
        (tmp_path / "runs" / name).mkdir(parents=True)
    rows = pd.DataFrame({"run_id": mine})
    (said,) = protocol._others(tmp_path, rows)
    assert said.startswith("1 run has another outcome, kept beside the one that counts: runs/aaaaaaaaaaaaaaaa.other-1")
    (tmp_path / "runs" / ("b" * 16 + ".other-1")).mkdir()
    assert protocol._others(tmp_path, rows)[0].startswith("2 runs have another outcome")
    assert protocol._others(tmp_path, rows.tail(0)) == []
