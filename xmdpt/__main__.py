"""`python -m xmdpt COMMAND`, the same as `xmdpt COMMAND`."""

from xmdpt.cli import main

main()
