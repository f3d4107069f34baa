"""The card of a model on a terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

_PERCENT = {"missed", "false", "purity", "wrong"}
_TABLES = {
    "rates": "At thresholds of the score (purity: of nine bogus and one real)",
    "roc": "Missed for given parts of false ones",
    "missed_by_snr": "Missed by S/N",
    "kinds": "Mistaken, by kind",
}


def print_card(name: str, card: dict[str, Any], stream: Any) -> None:
    """Write what is known of a model to a stream of Django's commands."""
    console = Console(file=stream, width=None if stream.isatty() else 100)
    data = card["data"]
    console.print(f"{name}: {card['scorer']}, {card['date']}, checksum {card['checksum'][:12]}, {card['command']}")
    for what, part in data.items():
        nights, real = len(part["nights"]), part["real"]
        console.print(f"  {what}: {part['candidates']} candidates of {nights} nights, {real} of them real")
    console.print(f"  calibration error {card['calibration_error']:.4f}")
    for key, title in _TABLES.items():
        table = Table(title=title)
        columns = list(card[key][0]) if card[key] else []
        for column in columns:
            table.add_column(column, justify="left" if column == "kind" else "right")
        for row in card[key]:
            table.add_row(*(f"{row[c]:.2%}" if c in _PERCENT else _plain(row[c]) for c in columns))
        console.print(table)


def _plain(value: Any) -> str:
    return (
        f"{value:.4g}" if isinstance(value, float) and value < 1e6 else "" if isinstance(value, float) else str(value)
    )
