# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the loader of signatures refuses, and that what is shipped passes."""

from __future__ import annotations

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.diagnose import catalogue

GOOD = r"""
[[signature]]
id = "L99"
title = "Port {port} is taken"
kind = "cause"
stage = "start"
severity = "blocks"
processes = ["engine"]
guilty = "this"
cause = "Something else listens on it."
fix = "Stop it."
sources = ["sglang 0.5.8"]
tags = ["ports"]

  [[signature.match]]
  literals = ["Address already in use"]
  pattern = 'Address already in use.*:(?P<port>\d+)'

  [signature.probe]
  command = "ss -ltnp"

[[signature]]
id = "L98"
title = "It ended"
kind = "symptom"
stage = "start"
severity = "blocks"
processes = ["any"]
guilty = "host"
follows = ["L99", "ports"]
cleared_by = ["up"]
cause = "It ended."
fix = "Look above."
sources = ["sglang 0.5.8"]
no_log = "it says nothing"

  [signature.probe]
  none = "there is nothing to look at"

[[marker]]
id = "up"
processes = ["engine"]

  [[marker.match]]
  literals = ["The server is fired up"]
  pattern = 'fired up'

[[entry]]
id = "G01"
title = "Ports"
signatures = ["L99"]
"""

BROKEN = (
    ('kind = "cause"', 'kind = "reason"', "kind is 'reason'"),
    ('stage = "start"', "", "stage is missing"),
    ('severity = "blocks"', 'severity = "bad"', "severity is 'bad'"),
    ('processes = ["engine"]', 'processes = ["daemon"]', "processes holds 'daemon'"),
    ('processes = ["engine"]', "processes = []", "processes is empty"),
    ('guilty = "this"', 'guilty = "me"', "guilty is 'me'"),
    ('fix = "Stop it."', 'fix = "  "', "fix is empty"),
    ('fix = "Stop it."', 'fix = "Stop {name}."', "fix names {name}"),
    ('fix = "Stop it."', 'fix = "{garbage_text}"', "no pattern has a group garbage"),
    ('fix = "Stop it."', "fix = 7", "fix is int, not str"),
    ('tags = ["ports"]', 'tags = ["Ports"]', "tag 'Ports'"),
    ('tags = ["ports"]', 'colour = "red"', "unknown: colour"),
    ('tags = ["ports"]', 'passing = true', "passing is for what degrades"),
    ('tags = ["ports"]', 'stays = true\nquiet_after = ["up"]', "stays is for causes that block, on no condition"),
    ('kind = "cause"', 'kind = "symptom"\nstays = true', "stays is for causes that block, on no condition"),
    ('id = "L99"', 'id = "99"', "not a letter and two digits"),
    ('id = "L98"', 'id = "L99"', "the id is taken"),
    ('title = "Port {port} is taken"', 'title = "Port is taken."', "full stop"),
    ('literals = ["Address already in use"]', "literals = []", "literals is empty"),
    ('literals = ["Address already in use"]', 'literals = ["dead 123"]', "keeps less than"),
    ('literals = ["Address already in use"]', 'literals = ["already in use "]', "begins or ends with space"),
    (r"pattern = 'Address already in use.*:(?P<port>\d+)'", "pattern = '('", "pattern: "),
    ('command = "ss -ltnp"', "", "names no rules"),
    ('command = "ss -ltnp"', 'command = "ss"\n  none = "no"', "says why there is no probe, and names one"),
    ('follows = ["L99", "ports"]', 'follows = ["L97"]', "follows 'L97'"),
    ('follows = ["L99", "ports"]', 'follows = ["L98"]', "follows 'L98'"),
    ('cleared_by = ["up"]', 'cleared_by = ["down"]', "'down', which is no marker"),
    ('cleared_by = ["up"]', "at_least = 0", "at_least is 0"),
    ('no_log = "it says nothing"', "", "either a match, or derived, or no_log"),
    ('signatures = ["L99"]', 'signatures = ["L90"]', "names signature 'L90'"),
    ('signatures = ["L99"]', "", "neither a signature nor a rule"),
    ("[[marker]]", "[[marks]]", "unknown: marks"),
    ("[[marker]]", "[[marker", "Expected"),
)


def test_a_catalogue_is_read() -> None:
    loaded = catalogue.parse({"a.toml": GOOD})
    signature = loaded.signatures["L99"]
    assert (signature.groups, signature.at_least, signature.probe.command) == ({"port"}, 1, "ss -ltnp")
    assert loaded.signatures["L98"].follows == ("L99", "ports")
    assert list(loaded.markers) == ["up"]
    assert loaded.guide["G01"].signatures == ("L99",)


@pytest.mark.parametrize(("old", "new", "message"), BROKEN, ids=[f"{number} {row[2]}" for number, row in enumerate(BROKEN)])
def test_what_does_not_fit_is_refused(old: str, new: str, message: str) -> None:
    assert old in GOOD
    with pytest.raises(catalogue.CatalogueError) as caught:
        catalogue.parse({"a.toml": GOOD.replace(old, new, 1)})
    assert message in str(caught.value)
    assert "a.toml" in str(caught.value) or "signature" in str(caught.value) or "entry" in str(caught.value)


def test_what_is_shipped_is_read() -> None:
    loaded = catalogue.load()
    assert {"L01", "L02", "L16"} <= set(loaded.signatures)
    assert {"started", "served", "stopping"} <= set(loaded.markers)


def test_unless_takes_lines_out() -> None:
    pattern = r"(?P<port>\d+)'"
    loaded = catalogue.parse({"a.toml": GOOD.replace(pattern, pattern + "\n  unless = 'tcp6'", 1)})
    match = loaded.signatures["L99"].matches[0]
    assert match.search("Address already in use: :80")
    assert match.search("tcp6: Address already in use: :80") is None
