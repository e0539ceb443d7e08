# SPDX-License-Identifier: GPL-3.0-or-later
"""Smoke-test app: federated linear regression on data that each SuperNode holds itself."""
