"""``python -m closedform_wsss``: the command line, where its script is not on the PATH."""

import sys

from closedform_wsss.cli import main

if __name__ == "__main__":
    sys.exit(main())
