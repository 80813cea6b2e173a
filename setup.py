"""What pyproject.toml cannot say: `conf/` is installed inside a package, as `ablations/conf/`."""

from setuptools import find_namespace_packages, setup

OURS = find_namespace_packages(include=["model*", "ablations*", "analysis*"], exclude=["model.native.lib*"])
CONF = ["ablations.conf", *(f"ablations.conf.{folder}" for folder in find_namespace_packages("conf"))]

setup(packages=OURS + CONF, package_dir={"ablations.conf": "conf"})
