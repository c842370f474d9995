"""Write every reference page that is made from the code: `make references`."""

from __future__ import annotations

import runpy
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

for generator in sorted(HERE.glob("[!_]*.py")):
    module = runpy.run_path(str(generator))
    page = ROOT / module["PATH"]
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(module["render"]())
