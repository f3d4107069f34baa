"""Colours of the style sheet: every pair that stands on each other has the contrast that reading it needs (WCAG 2)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

CSS = Path(__file__).parents[1] / "static" / "css"
TEXT, GRAPHIC = 4.5, 3.0
THEMES = ("light", "dark")
TEXT_ON = {
    "ink": ("bg", "surface", "sunk", "hover", "accent-bg"),
    "ink-2": ("bg", "surface", "accent-bg", "bad-bg"),
    "ink-3": ("bg", "surface", "hover", "accent-bg", "sunk"),
    "accent": ("bg", "surface", "hover", "accent-bg"),
    "on-accent": ("accent",),
    "ok": ("surface",),
    "warn": ("surface", "warn-bg"),
    "bad": ("surface", "bad-bg", "accent-bg"),
    "busy": ("surface", "busy-bg"),
}
GRAPHIC_ON = {"edge": ("surface", "bg")} | dict.fromkeys("ugrizy", ("surface",))
MARKS = ("kept", "cut", "star", "fake")  # on pictures: a mid-grey sky and black


def tokens() -> dict[str, tuple[str, str]]:
    """Name → (light, dark) of every colour of the first rule of the style sheet."""
    rule = re.search(r":root \{(.*?)\n\}", (CSS / "seechange.css").read_text(), re.S).group(1)
    found = {
        name: pair for name, *pair in re.findall(r"--([\w-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\)", rule)
    }
    return found | {name: (one, one) for name, one in re.findall(r"--([\w-]+): (#[0-9a-f]{6});", rule)}


def luminance(colour: str) -> float:
    """Relative luminance of `#rrggbb`."""
    parts = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    """From 1 to 21."""
    dark, light = sorted((luminance(a), luminance(b)))
    return (light + 0.05) / (dark + 0.05)


def pairs(table: dict[str, tuple[str, ...]]) -> list[tuple[str, str]]:
    return [(word, ground) for word, grounds in table.items() for ground in grounds]


def test_black_on_white_has_the_contrast_of_the_standard() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("theme", THEMES)
def test_every_word_can_be_read_on_its_ground(theme: str) -> None:
    known, which = tokens(), THEMES.index(theme)
    short = {pair: contrast(known[pair[0]][which], known[pair[1]][which]) for pair in pairs(TEXT_ON)}
    assert {pair: round(ratio, 2) for pair, ratio in short.items() if ratio < TEXT} == {}


@pytest.mark.parametrize("theme", THEMES)
def test_every_border_and_band_can_be_seen_on_its_ground(theme: str) -> None:
    known, which = tokens(), THEMES.index(theme)
    short = {pair: contrast(known[pair[0]][which], known[pair[1]][which]) for pair in pairs(GRAPHIC_ON)}
    assert {pair: round(ratio, 2) for pair, ratio in short.items() if ratio < GRAPHIC} == {}


def test_marks_can_be_seen_on_dark_pictures() -> None:
    known = tokens()
    assert all(contrast(known[mark][0], ground) >= GRAPHIC for mark in MARKS for ground in ("#3a3a3a", "#000000"))


def test_the_word_of_a_failed_chip_can_be_read() -> None:
    light, dark = tokens()["bad"]
    assert contrast("#ffffff", light) >= TEXT and contrast("#2a0705", dark) >= TEXT


def test_pages_use_tokens_and_no_colours_of_their_own() -> None:
    """Pictures are always grey: what lies on them may be written out."""
    css = re.sub(r"/\*.*?\*/", "", (CSS / "pages.css").read_text(), flags=re.S)
    assert set(re.findall(r"#[0-9a-fA-F]{3,8}\b", css)) <= {"#fff"}
