# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tiny model: the same bytes everywhere, and a real Llama."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.model import directory, tiny

# Of the whole directory. It changes only with intent: every host that has the model writes it anew then.
CHECKSUM = "449d3a60c466578c67f3c297fc817c18b011cd80a7645ecaeab1f0413a37b5ea"


@pytest.fixture(name="model", scope="module")
def write_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model")
    tiny.write(str(path))
    return path


def test_the_bytes(model: Path) -> None:
    assert directory.checksum(directory.manifest(str(model))) == CHECKSUM
    assert directory.problems(str(model)) == []


def tensors(model: Path) -> dict[str, tuple[list[int], list[float]]]:
    raw = (model / "model.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    found = {}
    for name, row in json.loads(raw[8 : 8 + length]).items():
        if name != "__metadata__":
            first, last = (8 + length + offset for offset in row["data_offsets"])
            halves = struct.unpack(f"<{(last - first) // 2}H", raw[first:last])
            found[name] = row["shape"], [struct.unpack("<f", struct.pack("<I", half << 16))[0] for half in halves]
    return found


def test_the_weights_are_those_of_the_configuration(model: Path) -> None:
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    found = tensors(model)
    assert sum(len(values) for _shape, values in found.values()) == 115008
    assert found["lm_head.weight"][0] == [config["vocab_size"], config["hidden_size"]]
    assert found["model.layers.1.self_attn.k_proj.weight"][0] == [config["num_key_value_heads"] * config["head_dim"], config["hidden_size"]]
    assert set(found["model.norm.weight"][1]) == {1.0}
    drawn = [value for name, (_shape, values) in found.items() if "norm" not in name for value in values]
    mean = sum(drawn) / len(drawn)
    assert abs(mean) < 0.01
    assert abs(math.sqrt(sum((value - mean) ** 2 for value in drawn) / len(drawn)) - tiny.SPREAD) < 0.01
    assert len(set(drawn)) > 1000


@pytest.mark.parametrize(
    ("value", "bits"),
    [(1.0, 0x3F80), (-2.0, 0xC000), (0.0, 0), (1.00390625, 0x3F80), (1.01171875, 0x3F82), (1.0078125, 0x3F81)],
)
def test_bfloat16_rounds_to_nearest_even(value: float, bits: int) -> None:
    assert tiny._bfloat16(value) == struct.pack("<H", bits)


def test_the_vocabulary() -> None:
    ids = tiny.vocabulary()
    assert sorted(ids.values()) == list(range(320))
    assert ids["Ā"] == 0
    assert ids["A"] == 65
    assert ids["Ġ"] == 32
    assert len(set(tiny.byte_alphabet())) == 256
