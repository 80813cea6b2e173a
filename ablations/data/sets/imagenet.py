"""ImageNet (ILSVRC 2012 classification): its numbers are known, so it is named without reading 1.3 million files.

Read from the usual folders or out of the official archives (`imagenet_files`), either of which must be the whole of
it. What the files hold is hashed in the one pass that caches them: the cache's meta.json, and the result of each run,
have the digest (`content`), which is the same for folders and archives; so results of two copies can be told apart.
"""

from ablations.core.config import DataConfig, FolderConfig
from ablations.core.run_spec import DataSpec, digest
from ablations.data import cache, subsets
from ablations.data.sets import imagefolder, imagenet_files
from ablations.data.shard_source import ShardSource
from ablations.data.work import Report


def resolve(config: DataConfig, report: Report | None, need_files: bool) -> DataSpec:
    """Settle the counts; look whether the images are there, unless the cache is or they are not needed.

    Raises:
        UserError: something of the data is missing, or a wrong count or resolution.
    """
    assert isinstance(config, FolderConfig)
    imagefolder.check_keep(config)
    known = imagenet_files.ILSVRC2012
    images = subsets.counts(config, known.classes, known.train, None, known.val)
    named = digest({**imagefolder.pixels(config), "set": known.name, "images": [known.train, known.val]})
    spec = subsets.describe(config, named, 3, known.classes, images)
    if need_files and cache.damage(cache.folder(config, spec)) is not None:
        imagenet_files.find_files(config.dir)
    return spec


def source(config: DataConfig, spec: DataSpec, report: Report | None) -> ShardSource:
    """The images, to be decoded on all cores.

    Raises:
        UserError: images are missing, or are not the original ones.
    """
    assert isinstance(config, FolderConfig)
    places = imagenet_files.find_files(config.dir)
    wnids, entries, passed_over = imagenet_files.list_images(places)
    return ShardSource(
        root=config.dir,
        class_names=wnids,
        splits={"train": (places.train, entries["train"]), "test": (places.val, entries["test"])},
        keep=config.keep,
        side=config.cache_resolution,
        skip_broken=config.skip_broken,
        passed_over=passed_over,
    )
