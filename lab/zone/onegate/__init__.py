# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of the lab zone that stands for OneGate."""

from __future__ import annotations
