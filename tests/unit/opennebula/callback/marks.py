# SPDX-License-Identifier: GPL-3.0-or-later
"""What ansible-runner up to 2.4.1 does in a job of AWX: marks around every line that is displayed, in every process."""

from __future__ import annotations

import functools
import sys

from ansible.plugins.callback import CallbackBase
from ansible.utils.display import Display

MARK = "\x1b[Kmark\x1b[4D\x1b[K"


def _marked(display):
    @functools.wraps(display)
    def wrapper(*args, **kwargs):
        stream = sys.stderr if kwargs.get("stderr") else sys.stdout
        stream.write(MARK)
        try:
            return display(*args, **kwargs)
        finally:
            stream.write(MARK)

    return wrapper


Display.display = _marked(Display.display)


class CallbackModule(CallbackBase):
    """The marks are all that it does."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "marks"
    CALLBACK_NEEDS_ENABLED = True
