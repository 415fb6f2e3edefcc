"""The room stays light: importing all of it loads neither torch nor Sionna nor SimPy nor pictures."""

import subprocess
import sys

SCRIPT = """
import importlib, pkgutil, sys
import channels
for module in pkgutil.walk_packages(channels.__path__, "channels."):
    if ".tables" not in module.name:
        importlib.import_module(module.name)
print([name for name in ("torch", "sionna", "simpy", "matplotlib", "pandas", "scipy.stats") if name in sys.modules])
"""


def test_imports_are_light():
    shown = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "[]"
