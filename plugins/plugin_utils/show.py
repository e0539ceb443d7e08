# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Show a line while a task is still running."""

from __future__ import annotations

import contextlib
import io
import multiprocessing

from ansible.utils.display import Display


def show(line: str, color: str | None = None) -> None:
    """Show a line at once, on a terminal and without one; color is one of ansible-core's names.

    A worker sends the line to the parent process, which writes it. ansible-runner up to 2.4.1, which AWX runs jobs with, wraps
    Display.display in both processes and writes its event markers to the stdout of each. ansible-core takes those of a worker
    for stray output and warns about every task (2.19 and newer) or prints them between the events (2.18). The parent's markers
    are the ones that count, so what the worker would write is dropped.
    """
    in_worker = multiprocessing.parent_process() is not None
    with contextlib.redirect_stdout(io.StringIO()) if in_worker else contextlib.nullcontext():
        Display().display(line, color=color)
