# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    # The connection options of every OpenNebula module.
    DOCUMENTATION = r"""
options:
  endpoint:
    description:
      - URL of the zone's oned (XML-RPC), for example V(https://one.example.org:2633/RPC2).
      - Taken from the environment variable E(ONE_XMLRPC) when it is not given.
    type: str
    required: true
  oneflow_endpoint:
    description:
      - URL of the zone's OneFlow, for example V(https://one.example.org:2474).
      - Taken from the environment variable E(ONEFLOW_URL) when it is not given.
      - Without either, the C(ONEFLOW_ENDPOINT) of the zone whose C(ENDPOINT) is O(endpoint) is used, and without that
        the host of O(endpoint) with port 2474.
    type: str
  username:
    description:
      - OpenNebula user.
      - Taken from the environment variable E(ONE_USERNAME) when it is not given.
      - Together with O(password) it takes precedence over O(auth_file).
    type: str
  password:
    description:
      - Password or login token of O(username).
      - Taken from the environment variable E(ONE_PASSWORD) when it is not given.
    type: str
  auth_file:
    description:
      - File on the host that runs the task with C(user:password) in its first line. The password may contain colons.
      - Taken from the environment variable E(ONE_AUTH) when it is not given.
    type: path
    default: ~/.one/one_auth
  validate_certs:
    description:
      - Whether to verify the certificates of C(https) endpoints.
    type: bool
    default: true
  ca_path:
    description:
      - File or directory with the PEM certificates of the authorities to trust, instead of the system's.
    type: path
  timeout:
    description:
      - Seconds that one call may take in all, from connecting to the last byte.
      - Reading calls are repeated within that time when the connection is refused or cut; writing calls never are.
    type: float
    default: 30.0
requirements:
  - python >= 3.11
  - pyone >= 6.8
notes:
  - On a local connection the task runs in the controller's own process; with any other connection, with C(become) and with
    C(async) the module is sent to the host as usual. The result is the same.
  - Redirects are not followed, and the proxy variables of the environment are not used.
  - When the task fails, C(error) in its result holds C(kind), C(code), C(text), C(endpoint), C(method) and C(hint).
"""
