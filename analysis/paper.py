"""The numbers that the paper prints (arXiv 1707.01083), as data, each with its table and column."""

TITLE = "ShuffleNet: An Extremely Efficient Convolutional Neural Network for Mobile Devices"
SCOPE = "ImageNet 2012 validation, single 224x224 centre crop"

DATA, RESOLUTION, CHANNELS, CLASSES, STEM = "imagenet", 224, 3, 1000, "imagenet"
"""What its networks are trained on, and their first layer, as this project calls them."""

GROUPS = (1, 2, 3, 4, 8)
"""Columns of Tables 1 and 2."""

WIDTHS = (1.0, 0.5, 0.25)
"""Rows of Tables 2 and 3, in the paper's order."""

TABLE_1_COMPLEXITY = (143, 140, 137, 133, 137)
"""Millions of multiply-adds at 1x, in the order of GROUPS. Convolutions alone round to these."""

TABLE_2_COMPLEXITY = {1.0: 140, 0.5: 38, 0.25: 13}
"""Millions of multiply-adds by width, one number for all groups."""

TABLE_5_COMPLEXITY = {(2.0, 3): 524, (1.5, 3): 292}
"""Millions of multiply-adds by (width, groups) of the networks compared with MobileNet."""

TABLE_8_MS = {0.5: 15.2, 1.0: 37.8, 2.0: 108.8}
"""Milliseconds of inference by width, at 3 groups and 224x224, on one thread of a Qualcomm Snapdragon 820."""

PHONES = {
    "shufflenet": ("ShuffleNet 1x, g=3", 140, 37.8, 36.9),
    "mobilenet": ("MobileNet 1.0", 569, 110.0, 107.1),
    "alexnet": ("AlexNet", 720, 184.0, 191.4),
}
"""Name, millions of multiply-adds and milliseconds at 224x224 on one thread: of Table 8, on a Snapdragon 820; and of
ncnn's benchmark on a Snapdragon 835 (github.com/Tencent/ncnn, benchmark/README.md)."""


def is_its_data(data: str, resolution: int) -> bool:
    """Whether errors on these data may be set beside the paper's: its images at its resolution."""
    return data == DATA and resolution == RESOLUTION


def complexity(width: float, groups: int) -> tuple[int | None, str]:
    """Multiply-adds at 224x224, the most exact number the paper prints, and the table; None where it prints none."""
    if width == 1.0 and groups in GROUPS:
        return 1_000_000 * TABLE_1_COMPLEXITY[GROUPS.index(groups)], "Table 1"
    if width in TABLE_2_COMPLEXITY and groups in GROUPS:
        return 1_000_000 * TABLE_2_COMPLEXITY[width], "Table 2"
    if (width, groups) in TABLE_5_COMPLEXITY:
        return 1_000_000 * TABLE_5_COMPLEXITY[width, groups], "Table 5"
    return None, ""
