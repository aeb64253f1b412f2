"""Reports as something to look at: text, a terminal, a page, a progress bar.

Only this package words reports for people; only the surfaces write them anywhere.
"""

from __future__ import annotations

from gradproof.reports._page import save as save
from gradproof.reports._page import to_cell as to_cell
from gradproof.reports._page import to_html as to_html
from gradproof.reports._page import to_markdown as to_markdown
from gradproof.reports._progress import Progress as Progress
from gradproof.reports._terminal import encodable as encodable
from gradproof.reports._terminal import has_color as has_color
from gradproof.reports._terminal import print_report as print_report
from gradproof.reports._terminal import to_stream as to_stream
from gradproof.reports._text import to_text as to_text
