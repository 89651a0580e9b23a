"""`python -m skipvid`: the program where the scripts' folder is not on the path."""

from __future__ import annotations

from skipvid.cli import main

if __name__ == "__main__":
    main()
