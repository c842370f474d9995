"""`python benchmarks/queue.py`: how fast jobs are enqueued, dispatched and followed by the next, beside plain Celery.

The measuring is in `dispatch.py`. This file only keeps its name out of the way: run as a script, or beside a script
that runs, its folder comes first on the path (it goes last here), and half of the standard library says `import queue`.
"""

import importlib
import runpy
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:] = [*(entry for entry in sys.path if Path(entry).resolve() != HERE), str(HERE)]

if __name__ == "__main__":
    runpy.run_path(str(HERE / "dispatch.py"), run_name="__main__")
elif __name__ == "queue":
    del sys.modules["queue"]
    sys.modules["queue"] = importlib.import_module("queue")
