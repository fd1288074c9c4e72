"""python -m scdpo"""

import sys

from scdpo.cli import main

sys.exit(main())
