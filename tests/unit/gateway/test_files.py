# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of a gateway are written whole, with the mode they should have, and nobody reads a secret in between."""

from __future__ import annotations

import os
import stat
import threading
from contextlib import ExitStack

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args
from ansible_collections.oneflower.federation.plugins.module_utils.gateway import files, tools


@pytest.fixture
def module():
    """Return what makes a module; its arguments hold until the end of the test."""
    with ExitStack() as stack:

        def make(**arguments) -> AnsibleModule:
            stack.enter_context(patch_module_args(arguments))
            return AnsibleModule(argument_spec={}, supports_check_mode=True)

        yield make


def mode(path) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


def test_a_file_that_is_not_there_is_empty_and_differs(tmp_path):
    path = str(tmp_path / "none")
    assert files.read(path) == ""
    assert files.differs(path, "", 0o600)


@pytest.mark.parametrize("wanted", [0o600, 0o644])
@pytest.mark.parametrize("before", [None, 0o666, 0o400])
def test_written_file_has_text_and_mode_whatever_was_there(module, tmp_path, wanted, before):
    path = tmp_path / "file"
    if before is not None:
        path.write_text("old")
        path.chmod(before)
    files.write(module(), str(path), "new\n", wanted)
    assert (path.read_text(), mode(path)) == ("new\n", wanted)
    assert not files.differs(str(path), "new\n", wanted)
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize(("text", "wanted"), [("other", 0o600), ("text", 0o644)])
def test_other_text_or_mode_is_a_difference(module, tmp_path, text, wanted):
    path = tmp_path / "file"
    files.write(module(), str(path), "text", 0o600)
    assert files.differs(str(path), text, wanted)


def test_a_secret_is_never_readable_by_others(module, tmp_path):
    """Also not while it replaces a file that was open to all, nor while it is new."""
    seen = set()
    stop = threading.Event()

    def watch():
        while not stop.is_set():
            for name in os.listdir(tmp_path):
                try:
                    with open(tmp_path / name, encoding="utf-8") as stream:
                        status = os.fstat(stream.fileno())
                        if "secret" in stream.read():
                            seen.add(stat.S_IMODE(status.st_mode))
                except FileNotFoundError:
                    pass

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for number in range(100):
            path = tmp_path / f"key{number % 2}"
            path.write_text("public")
            path.chmod(0o644)
            if number % 2:
                path.unlink()
            files.write(module(), str(path), "secret", 0o600)
    finally:
        stop.set()
        watcher.join()
    assert seen <= {0o600}


def test_open_file_is_closed_to_others_and_in_check_mode_only_reported(module, tmp_path):
    path = tmp_path / "key"
    path.write_text("secret")
    path.chmod(0o644)
    assert files.protect(module(_ansible_check_mode=True), str(path), 0o600)
    assert mode(path) == 0o644
    assert files.protect(module(), str(path), 0o600)
    assert mode(path) == 0o600
    assert not files.protect(module(), str(path), 0o600)


def test_executables_that_are_missing_are_named(module):
    paths, missing = tools.find(module(), "sh", "no-such-tool")
    assert (list(paths), missing) == (["sh"], ["no-such-tool"])
