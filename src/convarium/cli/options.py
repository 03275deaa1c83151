"""The arguments and flags that several commands share, with their help."""

from pathlib import Path
from typing import Annotated

from tyro.conf import arg

StoreFlag = Annotated[Path, arg(help="the folder that holds runs/ and studies/", metavar="DIR")]
DataFlag = Annotated[Path | None, arg(help="where to look for data sets first", metavar="DIR")]
DeviceFlag = Annotated[str | None, arg(help="cpu, cuda or cuda:1; none: the best there is", metavar="NAME")]
JsonFlag = Annotated[bool, arg(help="print JSON, for machines", name="json")]
LiveFlag = Annotated[bool, arg(help="write the report at once: opened in a browser, it follows the training")]
ModelArgument = Annotated[str, arg(metavar="MODEL")]
StudyArgument = Annotated[str, arg(metavar="STUDY")]
PresetFlag = Annotated[
    str | None, arg(help="train as a source does: memory-blog, d2l, uva …; flags beside it win", metavar="TAG")
]
