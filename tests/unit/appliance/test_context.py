# SPDX-License-Identifier: GPL-3.0-or-later
"""CONTEXT as one-context hands it over, and what of it may change later."""

from __future__ import annotations

import pytest
from oneflower_appliance import configure, context


def test_quotes_and_line_breaks_survive():
    text = "# made by OpenNebula\nFL_ROLE='superlink'\nNAME='it'\\''s\ntwo lines'\nTOKEN=\"YES\"\nexport X=1\n"
    assert context.parse_shell(text) == {"FL_ROLE": "superlink", "NAME": "it's\ntwo lines", "TOKEN": "YES", "X": "1"}


def test_nothing_is_executed():
    assert context.parse_shell("A='$(reboot)'\n") == {"A": "$(reboot)"}


def test_an_open_quote_is_refused():
    with pytest.raises(ValueError):
        context.parse_shell("A='x\n")


@pytest.mark.parametrize(
    ("endpoint", "vm_id", "token"), [("", "7", "t"), ("ftp://x", "7", "t"), ("http://x", "", "t"), ("http://x", "7", "")]
)
def test_no_onegate(endpoint, vm_id, token):
    assert context.gate({"ONEGATE_ENDPOINT": endpoint, "VMID": vm_id}, token) is None


def test_the_token_is_not_in_the_text_form():
    found = context.gate({"ONEGATE_ENDPOINT": "http://10.10.11.2:5030/", "VMID": "7"}, "secret")
    assert found is not None and found.endpoint == "http://10.10.11.2:5030"
    assert "secret" not in f"{found} {found!r}"


def test_the_hook_reads_file_and_token(tmp_path):
    (tmp_path / "context.sh").write_text("FL_ROLE='supernode'\nVMID='7'\n")
    (tmp_path / "token.txt").write_text("abc\n")
    environment = {"CONTEXT_FILE": str(tmp_path / "context.sh"), "MOUNT_DIR": str(tmp_path), "FL_ROLE": "old"}
    values, token = configure.read(environment)
    assert (values["FL_ROLE"], token) == ("supernode", "abc")


def test_without_mount_the_token_comes_from_one_env(tmp_path):
    (tmp_path / "one_env").write_text('export TOKENTXT="abc"\n')
    values, token = configure.read(
        {"FL_ROLE": "supernode", "MOUNT_DIR": str(tmp_path / "none"), "ENV_FILE": str(tmp_path / "one_env")}
    )
    assert (values["FL_ROLE"], token) == ("supernode", "abc")


def test_what_was_changed_last_holds():
    name = "FL_CERT_EXTRA_SAN"
    first = context.latest({}, {name: "IP:10.0.0.1"}, None)
    assert first["values"] == {name: "IP:10.0.0.1"}
    changed = context.latest(first, {name: "IP:10.0.0.1"}, {name: "IP:10.0.0.2"})
    assert changed["values"] == {name: "IP:10.0.0.2"}
    # A reboot brings the same CONTEXT again, and OneGate may be down.
    assert context.latest(changed, {name: "IP:10.0.0.1"}, None)["values"] == {name: "IP:10.0.0.2"}
    assert context.latest(changed, {name: "IP:10.0.0.3"}, {name: "IP:10.0.0.2"})["values"] == {name: "IP:10.0.0.3"}


def test_a_change_of_one_variable_keeps_the_others():
    first = context.latest({}, {"FL_LOG_LEVEL": "INFO", "FL_CERT_EXTRA_SAN": "IP:10.0.0.1"}, {"FL_LOG_LEVEL": "DEBUG"})
    second = context.latest(first, {"FL_LOG_LEVEL": "INFO", "FL_CERT_EXTRA_SAN": "IP:10.0.0.3"}, {"FL_LOG_LEVEL": "DEBUG"})
    assert second["values"] == {"FL_LOG_LEVEL": "DEBUG", "FL_CERT_EXTRA_SAN": "IP:10.0.0.3"}


def test_attributes_change_nothing_that_is_fixed():
    assert context.latest({}, {}, {"FL_SUPERLINK_ADDRESS": "evil:1", "FL_ROLE": "superlink"})["values"] == {}
