"""`python -m zotpy`."""

import sys

from zotpy.cli import main

if __name__ == "__main__":
    sys.exit(main())
