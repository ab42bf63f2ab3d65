"""`paycollect demo` as a terminal shows it, as SVG."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import Final

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

PICTURES: Final = Path(__file__).parents[1] / "pictures"
COLUMNS: Final = 92
# The fonts of the format would be fetched from the network by whoever looks at the picture.
FORMAT: Final = re.sub(r"@font-face \{\{.*?\}\}\n", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)


def record() -> str:
    """Run the demo in a terminal; gives what it printed."""
    terminal, program = pty.openpty()
    fcntl.ioctl(program, termios.TIOCSWINSZ, struct.pack("HHHH", 200, COLUMNS, 0, 0))
    quiet = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    process = subprocess.Popen(
        [sys.executable, "-m", "paycollect", "demo"],
        stdin=subprocess.DEVNULL,
        stdout=program,
        stderr=program,
        env={**quiet, "TERM": "xterm-256color", "COLUMNS": str(COLUMNS)},
    )
    os.close(program)
    printed = b""
    while True:
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # how Linux says that nobody writes any more
            break
        if not piece:
            break
        printed += piece
    if process.wait():
        raise SystemExit(printed.decode())
    return printed.decode().replace("\r\n", "\n")


console = Console(record=True, width=COLUMNS, file=io.StringIO(), color_system="truecolor")
console.print(Text("$ paycollect demo", style="bold"))
console.print(Text.from_ansi(record()))
console.save_svg(
    str(PICTURES / "demo.svg"), title="paycollect demo", code_format=FORMAT, unique_id="demo"
)
