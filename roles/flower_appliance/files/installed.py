# SPDX-License-Identifier: GPL-3.0-or-later
"""Exit code 0 if every requirement given (name or name==version) is installed in this environment."""

import re
import sys
from importlib import metadata

for requirement in sys.argv[1:]:
    name = re.split(r"[ <>=!~;\[]", requirement, maxsplit=1)[0]
    try:
        found = metadata.version(name)
    except metadata.PackageNotFoundError:
        sys.exit(f"{name} is not installed")
    wanted = requirement.partition("==")[2]
    if wanted and found != wanted:
        sys.exit(f"{name} is {found}, not {wanted}")
