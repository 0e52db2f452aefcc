"""`python -m gac_ros.cli` is `gac`."""

import sys

from gac_ros.cli import main

sys.exit(main())
