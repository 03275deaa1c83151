"""The templates of HTML pages: escaped, and an error where one names what it is not given."""

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined


@cache
def templates(folder: str) -> Environment:
    """What reads the templates of a folder of this package, such as "pages/templates", and compiles each once."""
    return Environment(
        loader=PackageLoader("convarium", folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
