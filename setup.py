"""`pip install .`: the part without ROS and the command `occdepth`; colcon uses package.xml and CMakeLists.txt."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
README = ROOT / "README.md"

setup(
    version=re.findall(r'__version__ = "(.+)"', (ROOT / "occdepth_ros" / "__init__.py").read_text(encoding="utf-8"))[0],
    long_description=README.read_text(encoding="utf-8") if README.exists() else "",
    long_description_content_type="text/markdown",
    packages=find_packages(include=["occdepth_ros", "occdepth_ros.*"]),
    package_data={
        "occdepth_ros": ["py.typed", "data/**/*", "training/recipes/*.yaml", "training/plans/*.yaml", "weights/*"]
    },
    data_files=[
        ("share/occdepth_ros/config", sorted(map(str, Path("config").glob("*")))),
    ],
)
