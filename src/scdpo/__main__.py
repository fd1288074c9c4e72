"""python -m scdpo"""

import sys

from scdpo.cli.main import main

sys.exit(main())
