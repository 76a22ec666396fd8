"""A MkDocs hook: tell screen readers what the search dialog is, which stock Material does not."""


def on_post_page(output, page, config):
    """Name the dialog."""
    dialog = 'data-md-component="search" role="dialog"'
    return output.replace(dialog, f'{dialog} aria-label="Search"')
