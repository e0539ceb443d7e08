# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of the lab zone that stands for OneFlow: service templates, services, and REST in front of them."""

from __future__ import annotations
