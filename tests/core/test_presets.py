"""Notes of presets: from their files, only where the preset's own data was used, out of every identity."""

from ablations.core import presets
from ablations.core.paths import CONF


def test_the_default_preset_says_that_it_is_a_demonstration():
    text = presets.note("quick", "glyphs")
    assert text.startswith("Demonstration on drawn characters: it says nothing about ImageNet.")
    assert (CONF / "preset" / f"{text.rpartition('PRESET=')[2]}.yaml").is_file()


def test_other_data_and_other_presets_have_no_such_note():
    assert presets.note("quick", "cifar10") == presets.note("cifar10", "cifar10") == ""
    assert presets.note("none", "glyphs") == presets.note("../data/glyphs", "glyphs") == ""
