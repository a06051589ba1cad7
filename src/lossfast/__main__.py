"""`python -m lossfast`: the command `lossfast`."""

from lossfast.score.cli import main

raise SystemExit(main())
