"""What must not change unnoticed: ids of provenances, and what each step makes of a fixed sky.

`python -m tests.golden` writes both files anew; look at what changed before you commit it.
"""

from __future__ import annotations

from pathlib import Path

PROVENANCES = Path(__file__).parent / "provenances.json"
STEP_OUTPUTS = Path(__file__).parent / "step_outputs.json"
