"""Every link of the documentation leads somewhere: files, headings, pictures; other hosts are known ones."""

import re
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import reference

ROOT = Path(__file__).resolve().parents[2]
TOP = ("README.md", "README.ru.md", "CONTRIBUTING.md", "CHANGELOG.md")
PAGES = [
    *(ROOT / name for name in TOP if (ROOT / name).is_file()),
    *sorted((ROOT / "docs").rglob("*.md")),
]
HOSTS = {"arxiv.org", "doi.org", "github.com"}  # looked at by a person: nothing is fetched here
ANCHORED = 3  # levels of headings that the site can be led to, as conf.py says

_CODE = re.compile(r"^( *)(```+|~~~+)[^\n]*\n.*?^\1\2 *$", re.DOTALL | re.MULTILINE)
_INLINE = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)", re.DOTALL)
_LINK = re.compile(r"(?<!\\)\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)")
_REFERENCE = re.compile(r"^\[[^\]]+\]:\s+<?(\S+?)>?\s*$", re.MULTILINE)
_HTML = re.compile(r"<(?:a|img|source)\b[^>]*?\b(?:href|srcset|src)=[\"']([^\"']+)")
_HEADING = re.compile(r"^(#{1,6}) +(.*?)(?: +#+)? *$", re.MULTILINE)
_PICTURE = {".png", ".svg", ".jpg", ".gif", ".webp"}


@cache
def text_of(path):
    return reference.filled(path.read_text(encoding="utf-8"))


def links(text):
    """Where a page leads; what stands in code leads nowhere."""
    prose = _CODE.sub("", text)
    html = _INLINE.sub("", prose)
    return [*_LINK.findall(html), *_REFERENCE.findall(html), *_HTML.findall(html)]


def slug(title):
    """Anchor of a heading, as GitHub and MyST make it."""
    plain = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", title)
    plain = re.sub(r"(?<!\w)[*_]+|[*_]+(?!\w)", "", plain.replace("`", ""))
    return re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")


def anchors(text):
    """All anchors of a page: of headings, numbered where they repeat, and of its own HTML."""
    found = set()
    for marks, title in _HEADING.findall(_CODE.sub("", text)):
        if len(marks) > ANCHORED:
            continue
        first = each = slug(title)
        count = 0
        while each in found:
            count += 1
            each = f"{first}-{count}"
        found.add(each)
    return found | set(re.findall(r"<a (?:id|name)=[\"']([^\"']+)", text))


def broken(path, link):
    """What is wrong with a link of a page; nothing where it is right."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        whole = parts.scheme in ("http", "https") and re.fullmatch(
            r"[\w.-]+\.[a-z]{2,}", parts.hostname or ""
        )
        return "" if whole or parts.scheme == "mailto" else "no address"
    target = (path.parent / parts.path).resolve() if parts.path else path
    if not target.is_relative_to(ROOT) or not target.exists():
        return "no such file"
    if parts.fragment and target.suffix == ".md" and parts.fragment not in anchors(text_of(target)):
        return f"no such heading; there are {sorted(anchors(text_of(target)))}"
    return ""


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(path):
    wrong = {link: why for link in links(text_of(path)) if (why := broken(path, link))}
    assert not wrong


def test_other_hosts_are_known_ones():
    every = {urlsplit(link).hostname for path in PAGES for link in links(text_of(path))}
    assert every - {None} <= HOSTS


def test_no_picture_is_left_over():
    led_to = {
        (path.parent / link).resolve() for path in PAGES for link in links(text_of(path)) if ":" not in link
    }
    held = {path.resolve() for path in (ROOT / "docs" / "images").rglob("*") if path.suffix in _PICTURE}
    assert held <= led_to


def test_a_link_is_found_wherever_it_stands():
    lines = [
        "[a](b.md#c) ![d](e.png) [`f`](g.md \"h\") <img src='i.svg'>",
        "[j]: k.md",
        "`[no](no.md)`",
        "```",
        "[no](no.md)",
        "```",
    ]
    text = "\n".join(lines) + "\n"
    assert sorted(links(text)) == ["b.md#c", "e.png", "g.md", "i.svg", "k.md"]


def test_anchors_are_those_of_github():
    titles = ["# One idea", "## `data.scales[]`", "## What, *then*?", "## What, then?", "## Где взять данные"]
    text = "\n".join([*titles, "#### Deep", "```", "# no", "```", ""])
    assert anchors(text) == {"one-idea", "datascales", "what-then", "what-then-1", "где-взять-данные"}


def test_a_broken_link_is_named():
    page = ROOT / "README.md"
    assert broken(page, "docs/none.md") == "no such file"
    assert broken(page, "docs/glossary.md#none").startswith("no such heading")
    assert broken(page, "../outside.md") == "no such file"
    assert broken(page, "https://nowhere") == "no address"
    assert broken(page, "docs/glossary.md#glossary") == ""


def test_the_site_makes_anchors_as_deep_as_the_test_thinks():
    conf = (ROOT / "docs" / "conf.py").read_text(encoding="utf-8")
    assert f"\nmyst_heading_anchors = {ANCHORED}\n" in conf
