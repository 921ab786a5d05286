"""The check of images before the first training: `check_data("path/to/images")`."""

from typing import TYPE_CHECKING

from kerastricks.lazy import attach

__all__ = ["DataFinding", "DataReport", "ImageSizes", "check_data", "write_clean", "write_data_page"]

if TYPE_CHECKING:
    from kerastricks.data_check.checking import check_data
    from kerastricks.data_check.data_report import DataReport, ImageSizes
    from kerastricks.data_check.findings import DataFinding
    from kerastricks.data_check.manifest import write_clean
    from kerastricks.data_check.page import write_data_page
else:
    __getattr__, __dir__, load_all = attach(
        __name__,
        {
            "DataFinding": "findings",
            "DataReport": "data_report",
            "ImageSizes": "data_report",
            "check_data": "checking",
            "write_clean": "manifest",
            "write_data_page": "page",
        },
    )
