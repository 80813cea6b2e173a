"""How wide each layer is: Table 1, the rule for other widths, and what cannot be built (no torch needed here)."""

import math

TABLE_1 = {1: 144, 2: 200, 3: 240, 4: 272, 8: 384}
"""Output channels of stage 2 at 1x by groups (paper, Table 1); stages 3 and 4 have twice and four times that."""

STEM_SHRINK = {"imagenet": 4, "stride2": 2, "stride1": 1}
"""By what factor each kind of stem divides height and width, rounded up."""

STEMS = tuple(STEM_SHRINK)
"""First layers: the paper's (3x3 convolution and 3x3 max pool, both stride 2), or the convolution alone, at 2 or 1."""

FITTED_STEMS = {0.25: 12, 0.5: 12, 1.0: 24, 1.5: 24, 2.0: 48}
"""Stem channels by width that give the paper's printed complexities (13, 38, 140, 292, 524 M); 24 x width does not."""

FITTED_STEMS_8 = {0.25: 8, 0.5: 16}
"""The same for 8 groups, which divide neither 12 nor 24 x 0.25 (as in the authors' release)."""


def round_up(value: float, multiple: int) -> int:
    """Smallest multiple of `multiple` that is no smaller than `value`."""
    # 24 x 1.1 is 26.400000000000002 in floating point: digits that are only noise must not add a channel.
    return math.ceil(round(value / multiple, 9)) * multiple


def check_width(groups: int, width: float) -> None:
    """Raise ValueError, naming the numbers, unless Table 1 and the width rule give channels for this network."""
    if groups not in TABLE_1:
        raise ValueError(
            f"groups={groups} cannot be built: Table 1 of the paper gives channels for "
            f"{', '.join(map(str, TABLE_1))} groups only; choose one of these."
        )
    if not (math.isfinite(width) and width > 0):
        raise ValueError(f"width={width} cannot be built: it multiplies channels, so it must be above 0 and finite.")


def stage_channels(groups: int, width: float) -> tuple[int, int, int]:
    """Output channels of stages 2, 3 and 4.

    At 1x this is Table 1. The paper writes "ShuffleNet s x" for other widths but not how scaled channels are made
    divisible by the groups. Here stage 2 is the nearest multiple of `groups` to width x Table 1 (a tie goes up), and
    the channels double from stage to stage, as the paper's do (Section 3.3). ValueError: see `check_width`.
    """
    check_width(groups, width)
    stage2 = math.floor(round(width * TABLE_1[groups] / groups, 9) + 0.5) * groups
    if stage2 == 0:
        least = math.ceil(10_000 * groups / 2 / TABLE_1[groups]) / 10_000
        raise ValueError(
            f"width={width} cannot be built with groups={groups}: {width} x {TABLE_1[groups]} channels of Table 1 "
            f"round to 0; take a width of at least {least}."
        )
    return stage2, 2 * stage2, 4 * stage2


def bottleneck_channels(out_channels: int, groups: int) -> int:
    """Channels of the 3x3 convolution: a quarter of the output (Section 3.3), rounded up to a multiple of `groups`."""
    return round_up(out_channels / 4, groups)


def default_stem_channels(groups: int, width: float) -> int:
    """Stem channels where the user names none.

    The paper prints 24 at 1x and is silent on other widths, but its complexities of 13, 38, 140, 292 and 524 M at
    0.25, 0.5, 1, 1.5 and 2x fit 12, 12, 24, 24 and 48 channels. Public ports that take 24 x width train a smaller
    0.25x network (10.8 M). At any other width: 24 x width rounded up to a multiple of `groups`.
    ValueError: see `check_width`.
    """
    check_width(groups, width)
    fitted = FITTED_STEMS | FITTED_STEMS_8 if groups == 8 else FITTED_STEMS
    return fitted.get(width, round_up(24 * width, groups))


def stem_name(groups: int, width: float, stem_channels: int) -> str:
    """`stem 16` where a network has other stem channels than its default, else empty."""
    try:
        usual = default_stem_channels(groups, width)
    except (ValueError, OverflowError):  # a stored run may say anything; whether it can be built is checked elsewhere
        usual = None
    return "" if stem_channels == usual else f"stem {stem_channels}"


def resolve_stem(groups: int, width: float, stem: str, stem_channels: int | None) -> int:
    """Stem channels that will be built: `stem_channels`, or the default for None.

    ValueError, naming the numbers, for whatever cannot be built: groups that Table 1 lacks, a width that is not
    positive or leaves no channels, an unknown stem, stem channels that the groups do not divide or that fill stage 2.
    """
    stage2 = stage_channels(groups, width)[0]
    if stem not in STEMS:
        raise ValueError(f"stem={stem!r} is unknown; choose one of {', '.join(STEMS)}.")
    channels = default_stem_channels(groups, width) if stem_channels is None else stem_channels
    # The first unit concatenates the pooled stem with its branch: the branch, a group convolution, has what is left.
    if channels < 1 or channels % groups:
        raise ValueError(
            f"stem_channels={channels} cannot be built with groups={groups}: the first unit's group convolution has "
            f"{stage2} - {channels} output channels, which {groups} must divide; choose a multiple of {groups}."
        )
    if channels >= stage2:
        raise ValueError(
            f"stem_channels={channels} cannot be built with groups={groups} and width={width}: stage 2 has {stage2} "
            f"channels, some of them not the stem's; choose fewer than {stage2}, or a larger width."
        )
    return channels
