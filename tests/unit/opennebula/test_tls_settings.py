# SPDX-License-Identifier: GPL-3.0-or-later
"""The system's CAs are read once in the controller's process, not once in the worker of every zone."""

from __future__ import annotations

import os
import ssl

import pytest
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula import transport
from ansible_collections.oneflower.federation.plugins.plugin_utils import opennebula_action  # noqa: F401


@pytest.fixture
def reads(monkeypatch):
    """How often a set of CAs was read."""
    seen = []
    real = ssl.create_default_context
    monkeypatch.setattr(transport.ssl, "create_default_context", lambda *a, **k: seen.append(k) or real(*a, **k))
    return seen


def test_a_forked_worker_has_the_cas_already(reads):
    worker = os.fork()
    if not worker:
        transport.tls_context(True, None)
        os._exit(len(reads))
    assert os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]) == 0


def test_cas_named_in_a_tasks_environment_are_read(reads, monkeypatch, tmp_path):
    (tmp_path / "ca.pem").touch()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    assert transport.tls_context(True, None).get_ca_certs() == []
    assert len(reads) == 1
