# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module nic_names_confirm: keep the names that nic_names has given, since the host is reached by them."""

from __future__ import annotations

DOCUMENTATION = r"""
module: nic_names_confirm
short_description: Keep the interface names that nic_names has given
version_added: 0.1.0
description:
  - Closes a transaction of M(railyard.sglang.nic_names). Until then the host undoes it by itself when its time is over.
  - Looks once more whether names, addresses, routes, and NetworkManager's devices and profiles are right, and undoes everything
    where they are not.
  - A transaction that was confirmed before, by a controller that did not hear so, is no error.
  - Run it over a fresh connection (C(meta=reset_connection) and M(ansible.builtin.wait_for_connection) before it). One that was open
    all the time proves nothing.
extends_documentation_fragment:
  - railyard.sglang.attributes
attributes:
  check_mode:
    description: Changes nothing in check mode, and says whether the transaction is open.
    support: full
options:
  transaction:
    description: RV(railyard.sglang.nic_names#module:transaction) of the module that began it.
    type: str
    required: true
  undo:
    description: Whether to go back now instead, without waiting for the timer.
    type: bool
    default: false
seealso:
  - module: railyard.sglang.nic_names
author:
  - railyard.sglang contributors (@railyard)
"""

EXAMPLES = r"""
- name: Reach the host again
  ansible.builtin.meta: reset_connection

- name: Wait until it answers
  ansible.builtin.wait_for_connection:
    timeout: 60

- name: Keep the names
  railyard.sglang.nic_names_confirm:
    transaction: "{{ named.transaction }}"
"""

RETURN = r"""
transaction:
  description: The transaction that was closed.
  returned: success
  type: str
msg:
  description: That the transaction was confirmed before.
  returned: when it was
  type: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import apply, locking, undo
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.journal import JournalError

ARGUMENTS = {"transaction": {"type": "str", "required": True}, "undo": {"type": "bool", "default": False}}
LOCK_SECONDS = 60.0


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    undo.prepare()
    transaction = module.params["transaction"]
    if module.check_mode:
        try:
            module.exit_json(changed=apply.is_open(transaction), transaction=transaction)
        except JournalError as error:
            module.fail_json(msg=f"{error}")
    try:
        with locking.lock(LOCK_SECONDS):
            changed = (apply.take_back if module.params["undo"] else apply.confirm)(transaction, undo.bounded)
    except (apply.ApplyError, JournalError, locking.LockedError, OSError) as error:
        module.fail_json(msg=f"{error}")
    kept = {} if changed or module.params["undo"] else {"msg": "It was confirmed before, and is kept."}
    module.exit_json(changed=changed, transaction=transaction, **kept)


if __name__ == "__main__":
    main()
