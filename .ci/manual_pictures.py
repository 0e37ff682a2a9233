"""Shows in the manual the pictures that lie in `results/`, without a copy of them.

A page links to them as the repository does, `../../results/...`; in the site they are
beside the guides, in `results/`.
"""

from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]


def on_files(files, config):
    """Adds the pictures to the site's files."""
    for path in sorted((ROOT / "results").rglob("*.png")):
        name = path.relative_to(ROOT).as_posix()
        files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown, **_):
    """Where the pictures are as seen from a page of the site's."""
    return markdown.replace("](../../results/", "](../results/")
