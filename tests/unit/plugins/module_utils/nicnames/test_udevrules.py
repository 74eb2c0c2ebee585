# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of which names udev's rules give, and of the rules for RDMA devices."""

from __future__ import annotations

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import rdmarules, udevrules
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.shapes import Nic

MAC = "02:00:00:00:00:01"
NIC = Nic(
    "enp1s0",
    mac="02:00:00:00:00:99",
    permanent_mac=MAC,
    driver="mlx5_core",
    pci="0000:01:00.0",
    id_path="pci-0000:01:00.0",
    port_name="p0",
    altnames=("enp1s0f0np0",),
)
IPOIB = Nic("ib0", mac="80:00:00:00:fe:80:00:00:00:00:00:00:00:00:00:00:00:00:00:01", driver="mlx5_core", pci="0000:01:00.0")

NET = 'SUBSYSTEM=="net", ACTION=="add", '
#: Rule to the name that it gives.
GIVEN = [
    (f'{NET}DRIVERS=="?*", ATTR{{address}}=="{MAC}", ATTR{{dev_id}}=="0x0", ATTR{{type}}=="1", KERNEL=="eth*", NAME="x"', "x"),
    (f'{NET}ATTR{{address}}=="{MAC}", NAME="x"', "x"),
    (f'{NET}ATTR{{address}}=="{MAC}",NAME:="x"', "x"),
    (f'{NET}ATTR{{address}}=="02:00:00:00:00:99", NAME="x"', ""),
    (f'{NET}ATTR{{address}}=="02:00:00:00:00:02", NAME="x"', ""),
    (f'{NET}ATTR{{address}}=="02:00:00:00:00:02|{MAC}", NAME="x"', "x"),
    (f'{NET}ATTR{{address}}=="02:00:00:00:00:0?", NAME="x"', "x"),
    (f'{NET}ATTR{{address}}!="{MAC}", DRIVERS=="mlx5_core", NAME="x"', ""),
    (f'{NET}KERNELS=="0000:01:00.0", NAME="x"', "x"),
    (f'{NET}KERNELS=="0000:02:00.0", NAME="x"', ""),
    (f'{NET}ENV{{ID_PATH}}=="pci-0000:01:00.0", NAME="x"', "x"),
    (f'{NET}ENV{{ID_NET_NAME_PATH}}=="enp1s0f0np0", NAME="x"', "x"),
    (f'{NET}ATTR{{phys_port_name}}=="p0", NAME="x"', "x"),
    (f'{NET}ATTR{{phys_port_name}}=="pf0vf*", NAME="x"', ""),
    (f'{NET}DRIVERS=="mlx5_core", NAME="x"', "x"),
    (f'{NET}DRIVERS=="virtio_net", NAME="x"', ""),
    (f'{NET}KERNEL=="eth3", NAME="x"', "x"),
    (f'{NET}KERNEL=="wlan*", NAME="x"', ""),
    (f'{NET}KERNEL!="eth3", DRIVERS=="mlx5_core", NAME="x"', "x"),
    (f'{NET}ENV{{ID_USB_INTERFACE_NUM}}=="01", NAME="x"', ""),
    (f'{NET}ENV{{OTHER}}=="1", KERNELS=="0000:01:00.0", NAME="x"', "x"),
    (f'{NET}NAME="x"', ""),
    (f'SUBSYSTEM=="net", ACTION=="change", ATTR{{address}}=="{MAC}", NAME="x"', ""),
    (f'SUBSYSTEM=="net", ACTION=="add|change", ATTR{{address}}=="{MAC}", NAME="x"', "x"),
    ('SUBSYSTEM=="infiniband", KERNELS=="0000:01:00.0", NAME="x"', ""),
    (f'ATTR{{address}}=="{MAC}", NAME="x"', "x"),
    (f'{NET}ATTR{{address}}=="{MAC}", NAME=="x", ENV{{A}}="1"', ""),
    (f'{NET}ATTR{{address}}=="{MAC}", NAME=""', ""),
    (f'{NET}ATTR{{address}}=="{MAC}", NAME="$env{{ID_NET_NAME}}"', ""),
    (f'{NET}ATTR{{address}}=="{MAC}", PROGRAM="/sbin/biosdevname -i %k", NAME="%c"', ""),
    (f'# {NET}ATTR{{address}}=="{MAC}", NAME="x"', ""),
    (f'# a comment \\\n{NET}ATTR{{address}}=="{MAC}", NAME="x"', "x"),
    (f'{NET}\\\n  ATTR{{address}}=="{MAC}", \\\n  NAME="x"', "x"),
    (f'{NET}ATTR{{address}}=="{MAC}", NAME="x"\n{NET}KERNELS=="0000:01:00.0", NAME="y"', "y"),
    (f'{NET}ATTR{{address}}=="{MAC}", NAME:="x"\n{NET}KERNELS=="0000:01:00.0", NAME="y"', "x"),
    (f'{NET}KERNELS=="0000:01:00.0", NAME="x"\n{NET}KERNELS=="0000:01:00.0", NAME=="", NAME="y"', "x"),
    (f'{NET}KERNELS=="0000:01:00.0", NAME="x"\n{NET}KERNELS=="0000:01:00.0", NAME!="", NAME="y"', "y"),
    (f'{NET}KERNELS=="0000:01:00.0", NAME+="x"', "x"),
    (f'{NET}ATTR{{address}}==i"{MAC.upper()}", NAME="x"', "x"),
    ("", ""),
]


@pytest.mark.parametrize(("rules", "name"), GIVEN)
def test_which_name_a_file_gives(rules, name):
    assert udevrules.given(f"{rules}\n".encode(), NIC) == name


@pytest.mark.parametrize(("rules", "name"), GIVEN)
def test_without_it_no_name_is_given_and_a_file_that_gives_none_stays(rules, name):
    content = f"# first\r\n{rules}\n# last".encode()
    changed = udevrules.without(content, NIC)
    assert udevrules.given(changed, NIC) == ""
    assert (changed == content) is (name == "")
    assert changed.startswith(b"# first\r\n")
    assert changed.endswith(b"# last")


@pytest.mark.parametrize(
    ("rules", "rest"),
    [
        (
            f'# a\n{NET}ATTR{{address}}=="{MAC}", NAME="x"\n{NET}ATTR{{address}}=="02:00:00:00:00:02", NAME="y"\n',
            f'# a\n{NET}ATTR{{address}}=="02:00:00:00:00:02", NAME="y"\n',
        ),
        (f'{NET}\\\n ATTR{{address}}=="{MAC}", \\\n NAME="x"\n# b', "# b"),
        (f'{NET}ATTR{{address}}=="{MAC}", NAME="x", RUN+="/bin/y"\n', f'{NET}ATTR{{address}}=="{MAC}", RUN+="/bin/y"\n'),
        (f'NAME="x", {NET}ATTR{{address}}=="{MAC}", ENV{{A}}="1"\n', f'{NET}ATTR{{address}}=="{MAC}", ENV{{A}}="1"\n'),
        (f'{NET}ATTR{{address}}=="{MAC}", ENV{{A}}="1", NAME="x"\n', f'{NET}ATTR{{address}}=="{MAC}", ENV{{A}}="1"\n'),
        (f'{NET}ATTR{{address}}=="{MAC}", PROGRAM="/bin/true", NAME="x", GOTO="end"\nLABEL="end"\n', 'LABEL="end"\n'),
    ],
)
def test_a_rule_that_does_more_loses_the_name_alone(rules, rest):
    assert udevrules.without(rules.encode(), NIC) == rest.encode()


def test_the_type_of_a_card_is_looked_at():
    rules = f'{NET}KERNELS=="0000:01:00.0", ATTR{{type}}=="32", NAME="x"\n'.encode()
    assert udevrules.given(rules, NIC) == ""
    assert udevrules.given(rules, IPOIB) == "x"


ADD = 'ACTION=="add", SUBSYSTEM=="infiniband", '
END = 'GOTO="railyard_rdma_naming_end"'
RDMA = (
    "# Written by railyard.sglang (nic_names): a change by hand is lost with its next run.\n"
    f'{ADD}KERNELS=="0000:0c:00.0", DEVPATH!="*.sf.*", PROGRAM="rdma_rename %k NAME_FIXED mlx5_rail0", {END}\n'
    f'{ADD}KERNELS=="0000:1f:00.0", DEVPATH!="*.sf.*", PROGRAM="rdma_rename %k NAME_FIXED mlx5_rail1", {END}\n'
    f'{ADD}PROGRAM="rdma_rename %k NAME_FALLBACK"\n'
    'LABEL="railyard_rdma_naming_end"\n'
)


def test_rules_for_rdma_devices_keep_the_way_of_rdma_core_for_the_others():
    content = udevrules.rdma_text({"0000:1f:00.0": "mlx5_rail1", "0000:0c:00.0": "mlx5_rail0"})
    assert content.decode() == RDMA
    assert rdmarules.own(content)
    assert rdmarules.names(content) == {"0000:0c:00.0": "mlx5_rail0", "0000:1f:00.0": "mlx5_rail1"}
    assert not udevrules.names_devices(content)


def test_the_own_rules_of_a_distribution_go_on():
    content = udevrules.rdma_text(
        {"0000:0c:00.0": "mlx5_rail0"}, b'# theirs\nACTION=="add", SUBSYSTEM=="infiniband", PROGRAM="rdma_rename %k NAME_KERNEL"'
    )
    assert content.endswith(
        b'# theirs\nACTION=="add", SUBSYSTEM=="infiniband", PROGRAM="rdma_rename %k NAME_KERNEL"\nLABEL="railyard_rdma_naming_end"\n'
    )
    assert b"NAME_FALLBACK" not in content
    assert rdmarules.names(b"theirs NAME_FIXED x") == {}


@pytest.mark.parametrize(
    ("pci", "name"), [("0c:00.0", "mlx5_0"), ("0000:0c:00.0", 'a" , RUN+="x'), ("0000:0c:00.0", ""), ("*", "mlx5_0")]
)
def test_what_is_not_safe_in_a_rule_is_refused(pci, name):
    with pytest.raises(ValueError, match="no rule can name"):
        udevrules.rdma_text({pci: name})
