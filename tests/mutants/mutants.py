"""All faults, by what they are put into."""

from __future__ import annotations

from tests.mutants.checkpoints import CHECKPOINTS
from tests.mutants.decoding import DECODING
from tests.mutants.identity import IDENTITY
from tests.mutants.mutant import Mutant
from tests.mutants.prompts import PROMPTS
from tests.mutants.radio import RADIO
from tests.mutants.runs import RUNS
from tests.mutants.surfaces import SURFACES

MUTANTS: tuple[Mutant, ...] = (*CHECKPOINTS, *PROMPTS, *DECODING, *IDENTITY, *RADIO, *RUNS, *SURFACES)
