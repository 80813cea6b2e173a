"""ImageNet (ILSVRC 2012 classification): its numbers are known, so it is named without listing 1.3 million files.

Read from the usual folders or out of the official archives (`official`), either of which must be the whole of it.
"""

from ablations.config import DataConfig, FolderConfig
from ablations.data import cache, imagefolder, official, select
from ablations.data.shards import Shards
from ablations.describe import DataSpec, digest


def resolve(config: DataConfig) -> DataSpec:
    """Settle the counts; look whether the images are there, unless the cache is.

    Raises:
        UserError: something of the data is missing, or a wrong count or resolution.
    """
    assert isinstance(config, FolderConfig)
    imagefolder.check_keep(config)
    known = official.ILSVRC2012
    train, val, test = select.counts(config, known.classes, known.train, None, known.val)
    spec = DataSpec(
        name=config.name,
        digest=digest({**imagefolder.pixels(config), "set": known.name, "images": [known.train, known.val]}),
        cache_resolution=config.cache_resolution,
        channels=3,
        classes=known.classes,
        train_images=train,
        val_images=val,
        test_images=test,
        evaluate=config.evaluate,
    )
    if official.NEEDED.get() and cache.damage(cache.folder(config, spec)) is not None:
        official.find(config.dir)
    return spec


def source(config: DataConfig, spec: DataSpec) -> Shards:
    """The images, to be decoded on all cores.

    Raises:
        UserError: images are missing, or are not the original ones.
    """
    assert isinstance(config, FolderConfig)
    places = official.find(config.dir)
    wnids, entries = official.read(places)
    roles = {"train": places.train.name, "test": places.val.name}
    return Shards(
        class_names=wnids,
        splits={"train": (places.train, entries["train"]), "test": (places.val, entries["test"])},
        forms=imagefolder.forms(config, roles),
        side=config.cache_resolution,
        judge=imagefolder.judge(config.dir, roles, wnids, entries, config.skip_broken),
    )
