# SPDX-License-Identifier: GPL-3.0-or-later
"""A lab zone: a TEST DOUBLE of the control plane of one OpenNebula zone.

It speaks the parts of oned's XML-RPC, OneFlow's REST API and OneGate that this collection uses, keeps its state in
SQLite and starts lab hosts as VMs through ``lab.hypervisor``. It is not OpenNebula and shares no code with it; its
answers, the wrong and misleading ones included, are held to recordings of OpenNebula 7.4.0 by ``tests/unit/lab_zone``.
With a ``version`` of 6.x its OneFlow is the older one, which follows published source, not recordings (``oneflow.generation6``).

Run it with ``python -m lab.zone --config ZONE.json [--config OTHER.json ...]``; the configuration is described in
:mod:`lab.zone.config`, the faults that tests can inject in :mod:`lab.zone.faults`.
"""

from __future__ import annotations
