"""The width rule: Table 1 at 1x, divisible everywhere else, and sentences for what cannot be built."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.widths import (
    STEMS,
    TABLE_1,
    bottleneck_channels,
    default_stem_channels,
    resolve_stem,
    stage_channels,
)

GROUPS = st.sampled_from(sorted(TABLE_1))
WIDTHS = st.floats(0.1, 4)


@pytest.mark.parametrize(
    ("groups", "channels"),
    [
        (1, (144, 288, 576)),
        (2, (200, 400, 800)),
        (3, (240, 480, 960)),
        (4, (272, 544, 1088)),
        (8, (384, 768, 1536)),
    ],
)
def test_one_x_is_table_1(groups: int, channels: tuple[int, int, int]) -> None:
    assert stage_channels(groups, 1.0) == channels


@pytest.mark.parametrize(
    ("groups", "width", "stage2"),
    [
        (1, 0.25, 36),
        (2, 0.25, 50),
        (3, 0.25, 60),
        (4, 0.25, 68),
        (8, 0.25, 96),
        (8, 0.5, 192),
        (3, 0.3, 72),
        (4, 0.3, 80),
    ],
)
def test_stage_2_is_the_nearest_multiple(groups: int, width: float, stage2: int) -> None:
    assert stage_channels(groups, width)[0] == stage2


@pytest.mark.parametrize(
    ("groups", "width", "stem"),
    [(groups, width, 12) for groups in (1, 2, 3, 4) for width in (0.25, 0.5)]
    + [(groups, width, 24) for groups in TABLE_1 for width in (1.0, 1.5)]
    + [(groups, 2.0, 48) for groups in TABLE_1]
    + [(8, 0.25, 8), (8, 0.5, 16), (3, 0.75, 18), (4, 0.75, 20), (8, 0.75, 24), (1, 1.1, 27), (1, 0.1, 3)],
)
def test_stems(groups: int, width: float, stem: int) -> None:
    assert default_stem_channels(groups, width) == stem
    assert resolve_stem(groups, width, "imagenet", None) == stem


@given(GROUPS, WIDTHS)
def test_channels_are_divisible_and_double(groups: int, width: float) -> None:
    channels = stage_channels(groups, width)
    assert channels[1] == 2 * channels[0]
    assert channels[2] == 2 * channels[1]
    assert abs(channels[0] - width * TABLE_1[groups]) <= groups / 2 + 1e-6
    for out in channels:
        bottleneck = bottleneck_channels(out, groups)
        assert out % groups == 0
        assert bottleneck % groups == 0
        assert out / 4 <= bottleneck < out / 4 + groups


@given(GROUPS, WIDTHS)
def test_default_stems_can_be_built(groups: int, width: float) -> None:
    stem = resolve_stem(groups, width, "imagenet", None)
    assert stem % groups == 0
    assert 0 < stem < stage_channels(groups, width)[0]
    if width not in (0.25, 0.5, 1.5):
        assert 24 * width - 1e-6 <= stem < 24 * width + groups


@given(GROUPS, WIDTHS, st.integers(-5, 200), st.sampled_from(STEMS))
def test_a_stem_is_taken_as_given_or_refused(groups: int, width: float, stem_channels: int, stem: str) -> None:
    left = stage_channels(groups, width)[0] - stem_channels
    if stem_channels > 0 and left > 0 and left % groups == 0:
        assert resolve_stem(groups, width, stem, stem_channels) == stem_channels
    else:
        with pytest.raises(ValueError, match=f"stem_channels={stem_channels} .*groups={groups}"):
            resolve_stem(groups, width, stem, stem_channels)


@given(GROUPS, st.floats(1e-3, 0.99))
def test_the_least_width_named_is_enough(groups: int, share: float) -> None:
    with pytest.raises(ValueError, match="round to 0") as refused:
        stage_channels(groups, share * groups / 2 / TABLE_1[groups])
    least = float(str(refused.value).split("at least ")[1].removesuffix("."))
    assert stage_channels(groups, least)[0] == groups


@pytest.mark.parametrize(
    ("groups", "width", "stem", "stem_channels", "sentence"),
    [
        (5, 1.0, "imagenet", None, "groups=5 cannot be built.*1, 2, 3, 4, 8 groups"),
        (0, 1.0, "imagenet", None, "groups=0 cannot be built"),
        (3, 0.0, "imagenet", None, "width=0.0 cannot be built.*above 0"),
        (3, -1.0, "imagenet", None, "width=-1.0 cannot be built"),
        (3, float("nan"), "imagenet", None, "width=nan cannot be built"),
        (3, float("inf"), "imagenet", None, "width=inf cannot be built"),
        (8, 0.001, "imagenet", None, "width=0.001 cannot be built with groups=8.*384.*at least 0.0105"),
        (3, 1.0, "stride4", None, "stem='stride4' is unknown; choose one of imagenet, stride2, stride1"),
        (8, 0.25, "imagenet", 12, "stem_channels=12 cannot be built with groups=8.*multiple of 8"),
        (3, 0.25, "imagenet", 0, "stem_channels=0 cannot be built with groups=3"),
        (3, 0.25, "imagenet", 60, "stem_channels=60 cannot be built.*width=0.25.*stage 2 has 60.*fewer than 60"),
    ],
)
def test_what_cannot_be_built(groups: int, width: float, stem: str, stem_channels: int | None, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        resolve_stem(groups, width, stem, stem_channels)
