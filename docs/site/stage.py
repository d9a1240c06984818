"""Gathers the pages of the site in build/docs/pages: docs/, both READMEs, and whatever else they link to.

    python docs/site/stage.py

A linked file outside docs/ becomes a page too: Markdown (models' cards, dated results) as it is, source code and other
text in a code block; a linked folder becomes a list of its files. So no link of the site leads out of it, and none
needs a host on which the repository lies. Raises `SystemExit` where a link leads to nothing.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "build" / "docs" / "pages"
FRONT = {"README.md": "index.md", "README.zh-CN.md": "index.zh-CN.md"}
LINK = re.compile(r"(\]\(|src=\")([^)\s\"#]+)(#[^)\s\"]*)?(\)|\")")
CODE = re.compile(r"(^ *```.*?^ *```|`[^`\n]*`)", re.MULTILINE | re.DOTALL)
LANGUAGES = {".py": "python", ".toml": "toml", ".txt": "text", ".tsv": "text", ".json": "json", ".yml": "yaml"}
PICTURES = {".png", ".svg", ".webp", ".jpg", ".gif", ".pdf"}


def page_of(file: Path) -> Path:
    """Where a file of the repository stands in the site, relative to its root."""
    inside = file.relative_to(ROOT)
    if str(inside) in FRONT:
        return Path(FRONT[str(inside)])
    place = Path(*inside.parts[1:]) if inside.parts[0] == "docs" else Path("source") / inside
    if file.is_dir():
        return place / "index.md"
    if file.suffix in PICTURES or file.suffix == ".md":
        return place
    return place.with_name(f"{place.name}.md")


class Staging:
    def __init__(self) -> None:
        self.waiting: list[Path] = [ROOT / name for name in FRONT]
        self.waiting += [ROOT / "docs" / "decisions", *sorted((ROOT / "docs").rglob("*.md"))]
        self.done: set[Path] = set()
        self.broken: list[str] = []

    def run(self) -> None:
        while self.waiting:
            file = self.waiting.pop()
            if file in self.done:
                continue
            self.done.add(file)
            target = PAGES / page_of(file)
            target.parent.mkdir(parents=True, exist_ok=True)
            if file.is_dir():
                target.write_text(self.folder(file), encoding="utf-8")
            elif file.suffix == ".md":
                target.write_text(self.rewritten(file), encoding="utf-8")
            elif file.suffix in PICTURES:
                shutil.copyfile(file, target)
            else:
                target.write_text(self.source(file), encoding="utf-8")

    def rewritten(self, file: Path) -> str:
        """A page's text with its links turned to the places of the site; code is left alone."""
        text, parts, end = file.read_text(encoding="utf-8"), [], 0
        for code in CODE.finditer(text):
            parts += [LINK.sub(lambda link: self.turned(link, file), text[end : code.start()]), code[0]]
            end = code.end()
        return "".join([*parts, LINK.sub(lambda link: self.turned(link, file), text[end:])])

    def turned(self, link: re.Match[str], file: Path) -> str:
        before, address, anchor, after = link.groups()
        if re.match(r"[a-z]+:", address):
            return link[0]
        linked = Path(os.path.normpath(file.parent / address))
        if not linked.exists() or not linked.is_relative_to(ROOT):
            self.broken.append(f"{file.relative_to(ROOT)}: {address}")
            return link[0]
        self.waiting.append(linked)
        here = (PAGES / page_of(file)).parent
        return f"{before}{Path(os.path.relpath(PAGES / page_of(linked), here)).as_posix()}{anchor or ''}{after}"

    def source(self, file: Path) -> str:
        name, text = file.relative_to(ROOT).as_posix(), file.read_text(encoding="utf-8")
        fence = "`" * max(3, 1 + max((len(found) for found in re.findall("`+", text)), default=0))
        head = "---\nsearch:\n  exclude: true\n---\n"
        return f"{head}\n# {name}\n\n{fence}{LANGUAGES.get(file.suffix, 'text')}\n{text}\n{fence}\n"

    def folder(self, folder: Path) -> str:
        name, lines = folder.relative_to(ROOT).as_posix().removeprefix("docs/"), list[str]()
        for file in sorted(folder.iterdir()):
            if file.is_file() and not file.name.startswith("."):
                self.waiting.append(file)
                title = (
                    file.read_text(encoding="utf-8").splitlines()[0].lstrip("# ") if file.suffix == ".md" else file.name
                )
                place = os.path.relpath(PAGES / page_of(file), (PAGES / page_of(folder)).parent)
                lines.append(f"- [{title}]({Path(place).as_posix()})")
        return f"# {name}\n\n" + "\n".join(lines) + "\n"


def reference() -> str:
    """The page of all public names, for mkdocstrings."""
    sys.path.insert(0, str(ROOT))
    import upres

    homes = upres._HOME  # pyright: ignore[reportPrivateUsage]
    lines = [
        "# Public names",
        "",
        "What `import upres` offers, from the docstrings. [From Python](api.md) has examples.",
        "",
    ]
    for name in sorted(homes, key=lambda name: (name.endswith("Error"), name.lower())):
        value = getattr(upres, name)
        lines += [f"::: {value.__module__}.{name}", ""]
    return "\n".join(lines)


def main() -> None:
    shutil.rmtree(PAGES, ignore_errors=True)
    staging = Staging()
    staging.run()
    (PAGES / "reference.md").write_text(reference(), encoding="utf-8")
    if staging.broken:
        raise SystemExit("links that lead to nothing:\n" + "\n".join(sorted(set(staging.broken))))


if __name__ == "__main__":
    main()
