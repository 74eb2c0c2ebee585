# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which variables of an inventory are secrets: by name, by vault, alone or with their whole file, and what templates make of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultLib, VaultSecret, VaultSecretsContext
from ansible.vars.hostvars import HostVars
from ansible.vars.manager import VariableManager

from ansible_collections.railyard.sglang.plugins.action import bundle

SECRET = VaultSecret(b"for this test")


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let values be decrypted, as a run with its password does."""
    monkeypatch.setattr(VaultSecretsContext, "_current", VaultSecretsContext([("default", SECRET)]))


def hostvars(place: Path, plain: str, encrypted: str) -> HostVars:
    """Return the variables of an inventory of one host, some of them in a file that is encrypted as a whole."""
    vault = VaultLib([("default", SECRET)])
    group = place / "group_vars/all"
    group.mkdir(parents=True)
    (place / "hosts.yml").write_text("all: {hosts: {gpu-a: }}\n", encoding="utf-8")
    alone = vault.encrypt("alone-4711", SECRET).decode().replace("\n", "\n  ")
    (group / "main.yml").write_text(f"{plain}inline: !vault |\n  {alone}\n", encoding="utf-8")
    if encrypted:
        (group / "vault.yml").write_bytes(vault.encrypt(encrypted, SECRET))
    loader = DataLoader()
    loader.set_vault_secrets([("default", SECRET)])
    inventory = InventoryManager(loader, [str(place / "hosts.yml")])
    return HostVars(inventory, VariableManager(loader, inventory), loader)


@pytest.mark.parametrize(
    ("plain", "encrypted", "wanted", "unwanted"),
    [
        ("port: 30000\n", "", {"alone-4711"}, {"30000"}),
        # A file that is encrypted as a whole, whatever its variables are called.
        (
            "port: public-1\n", "hub: hidden-1\nnested: {list: [hidden-2, {a: 1234567}]}\n", {"hidden-1", "hidden-2", "1234567"},
            {"public-1"},
        ),
        # Templates: within what is a secret by its name, and in the encrypted file.
        (
            "part: public-2\nhub_value: from-a-variable\nengine_env: {HF_TOKEN: '{{ hub_value }}', OTHER: public-3}\n",
            "joined: 'x-{{ part }}'\n", {"from-a-variable", "x-public-2"}, {"public-2", "public-3"},
        ),
        ("model_token: '{{ hub_value }}'\nhub_value: abc-def\n", "", {"abc-def"}, set()),
        # What cannot be told hides nothing else.
        ("broken_token: '{{ nothing_of_that_name }}'\nmodel_token: abc-def\n", "", {"abc-def"}, set()),
    ],
)  # fmt: skip
def test_secrets_of_an_inventory(tmp_path: Path, plain: str, encrypted: str, wanted: set[str], unwanted: set[str]) -> None:
    found = set(bundle.secrets_of(hostvars(tmp_path, plain, encrypted), ["gpu-a"]))
    assert wanted <= found
    assert not unwanted & found


def test_an_address_that_cannot_be_told_is_the_name(tmp_path: Path) -> None:
    made = hostvars(tmp_path, "ansible_host: '{{ nothing_of_that_name }}'\n", "")
    assert bundle.address_of(made, "gpu-a") == "gpu-a"
