"""``python -m g287stats``."""

from g287stats.cli import main

raise SystemExit(main())
