"""Packaging of keras_sa; tool settings are in pyproject.toml."""

import re
from pathlib import Path

from setuptools import find_packages
from setuptools import setup

ROOT = Path(__file__).resolve().parent
VERSION = re.search(
    r'^__version__ = "(.+)"$', (ROOT / "keras_sa" / "__init__.py").read_text(), re.M
)[1]

# `applications` and `scripts` lie at the top level of the checkout and are
# installed inside the package.
MAPPED = {
    "keras_sa.applications": "applications",
    "keras_sa.scripts": "scripts",
    # scripts/checks is for maintainers and stays in the checkout.
    "keras_sa.scripts.benchmarks": "scripts/benchmarks",
    "keras_sa.scripts.detect": "scripts/detect",
    "keras_sa.scripts.studies": "scripts/studies",
}

EXTRAS = {
    "demo": ["pillow>=10.1", "scikit-learn>=1.4.2"],
    "benchmark": ["pillow>=10.1", "scikit-image>=0.26", "scikit-learn>=1.4.2"],
    "detection": ["matplotlib>=3.8", "pycocotools>=2.0.10"],
    "docs": ["mkdocs-material>=9.7", "mkdocstrings[python]>=1.0"],
    "fast-detection": ["faster-coco-eval>=1.8", "hotcoco>=1.3"],
    "keras-hub": ["keras-hub>=0.32"],
    "litert": ["ai-edge-litert>=2.3"],
    "onnx": ["onnx>=1.23", "onnxruntime>=1.32", "tf2onnx>=1.17"],
    "openvino": ["openvino>=2026.4", "nncf>=3.4"],
    "serve": ["kserve>=0.21"],
    "serving": ["tensorflow-serving-api>=2.21"],
    "tensorboard": ["tensorboard>=2.21"],
    "study": ["matplotlib>=3.8", "scikit-learn>=1.4.2", "scipy>=1.12"],
    "torch": ["torch>=2.13"],
    "tfds": ["tensorflow-datasets>=4.9.9", "importlib_resources>=6.0"],
    "visualization": ["matplotlib>=3.8"],
}
EXTRAS["demo"] += EXTRAS["visualization"]
EXTRAS["openvino"] += EXTRAS["onnx"]
EXTRAS["test"] = [
    *EXTRAS["demo"],
    *EXTRAS["detection"],
    *EXTRAS["study"],
    *EXTRAS["tfds"],
    "build>=1.2.1",
    "mypy>=2.4.1",
    "psutil>=5.9.8",
    "pytest>=8.3",
    "pytest-xdist>=3.8",
    "ruff==0.17.6",
]

LINK = r"\[([^\]]*)\]\((?!https?:)([^)#]*)[^)]*\)"


def for_an_index(readme: str) -> str:
    """The README without what a package index lacks: the files beside it."""

    def path(link):
        text, target = link.groups()
        target = target.removesuffix("/README.md")
        return f"`{target}`" if target.startswith(text) else f"{text} (`{target}`)"

    without_pictures = re.sub(f"!{LINK}\n*", "", readme)
    return (
        re.sub(LINK, path, without_pictures) + "\nPaths are those of the repository.\n"
    )


setup(
    name="keras-sa",
    version=VERSION,
    description="SA-Net (shuffle attention) for Keras 3 and TensorFlow",
    long_description=for_an_index((ROOT / "README.md").read_text(encoding="utf-8")),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    packages=[
        *find_packages(include=["keras_sa", "keras_sa.*"]),
        *MAPPED,
    ],
    package_dir=MAPPED,
    package_data={"keras_sa": ["py.typed"]},
    install_requires=[
        "filelock>=3.20",
        "keras>=3.12",
        "numpy>=1.26.4",
        "safetensors>=0.8",
        "tensorflow>=2.19",
        "typer>=0.16",
    ],
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["keras-sa = keras_sa.scripts.main:app"]},
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
