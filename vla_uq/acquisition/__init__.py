"""Which demonstrations to collect next: SAVE and what it is compared with. One protocol: a strategy chooses a round."""

from __future__ import annotations

from vla_uq.acquisition.amf import Amf
from vla_uq.acquisition.candidates import Candidate, Round, Strategy
from vla_uq.acquisition.diversity import Diversity
from vla_uq.acquisition.random import Random
from vla_uq.acquisition.save import Save

__all__ = ["Amf", "Candidate", "Diversity", "Random", "Round", "Save", "Strategy"]
