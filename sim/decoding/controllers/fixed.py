"""The fixed controller: every round has the controls of the scenario."""

from __future__ import annotations

from sim.core.registry import NoSettings
from sim.decoding.controllers.registry import CONTROLLERS
from sim.decoding.core.controller import Controller


@CONTROLLERS.register("fixed", NoSettings, adaptive=False)
class Fixed(Controller):
    """Leave draft length, truncation and candidates as the scenario has them."""
