# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes a VM a Flower SuperLink or SuperNode from its CONTEXT, and reports through OneGate.

`configure` is what one-context calls, `agent` is the unit that does the work, `launch` starts Flower with keepalive.
The folder `appliance` is the collection's own: the language that controller and VM share.
"""
