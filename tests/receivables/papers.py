"""Papers for people only: a PDF without an e-invoice inside."""

import io


def plain_pdf() -> bytes:
    """Return a PDF of one empty page."""
    import pikepdf

    out = io.BytesIO()
    with pikepdf.new() as made:
        made.add_blank_page(page_size=(200, 200))
        made.save(out)
    return out.getvalue()
