# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of the lab zone that stands for oned: objects, rights, VMs, federation, and XML-RPC in front of them."""

from __future__ import annotations
