# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Record when each play of a run began, and show at the end what each took."""

from __future__ import annotations

DOCUMENTATION = r"""
name: timeline
type: aggregate
short_description: Show what each step of a federation's run took
version_added: "0.1.0"
description:
  - A step is a play. Prints the seconds of every step at the end of a run, and which of them were waits for other machines.
  - M(oneflower.federation.federation_report) writes the same into its report. Without this callback the report has no timeline.
  - Play variable C(timeline) says what kind of a step a play is, C(waits) or C(training), and C(timeline_since) at the end of
    which step that began what is waited for. Plays of other collections count too.
author:
  - oneflower.federation contributors (@oneflower)
requirements:
  - enable it with C(callbacks_enabled = oneflower.federation.timeline) in the section C([defaults]) of C(ansible.cfg)
"""

import time
import typing as t

from ansible.plugins.callback import CallbackBase
from ansible_collections.oneflower.federation.plugins.plugin_utils import recorded_steps
from ansible_collections.oneflower.federation.plugins.plugin_utils.federation import report


class CallbackModule(CallbackBase):
    """One list of steps per run of ansible-playbook."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "oneflower.federation.timeline"
    CALLBACK_NEEDS_ENABLED = True

    def v2_playbook_on_start(self, playbook: t.Any) -> None:
        """Begin a list of steps."""
        recorded_steps.steps = []

    def v2_playbook_on_play_start(self, play: t.Any) -> None:
        """Record that a step begins."""
        if recorded_steps.steps is not None:
            told = {"kind": str(play.vars.get("timeline", "")), "since": str(play.vars.get("timeline_since", ""))}
            recorded_steps.steps.append({"name": play.get_name().strip(), "started": time.time(), **told})

    def v2_playbook_on_stats(self, stats: t.Any) -> None:
        """Show what each step took."""
        if recorded_steps.steps:
            self._display.display("")
            for line in report.timeline_lines(report.timeline(recorded_steps.steps, time.time())):
                self._display.display(line)
