# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent's side of the smoke test: the rows of a partition, and the runs that the SuperLink's VM is asked for.

The Flower app that such a run executes is a project of its own, `oneflower_smoke`.
"""
