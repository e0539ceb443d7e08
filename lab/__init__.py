# SPDX-License-Identifier: GPL-3.0-or-later
"""Three OpenNebula zones on one machine: every part real but the hypervisor and the control plane."""
